{
  description = "RAVE: sandbox virtual machines for AI agents";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs = { self, nixpkgs }: import ./nix { inherit self nixpkgs; };
}
