# The flake's outputs for `nix-build` without flakes: `nix-build -A vmware`, `nix-build -A qemu-headless`.
{
  nixpkgs ?
    let
      inherit ((builtins.fromJSON (builtins.readFile ./flake.lock)).nodes.nixpkgs) locked;
    in
    # GitHub's archive of the locked revision, with the hash of the lock.
    fetchTarball {
      url = "https://github.com/${locked.owner}/${locked.repo}/archive/${locked.rev}.tar.gz";
      sha256 = locked.narHash;
    },
}:
let
  outputs = import ./nix { inherit nixpkgs; };
in
outputs.packages.x86_64-linux
// {
  inherit outputs;
}
