# The workspace's tool, here for its formats: what makes every artifact of the Debian base makes those of this one.
{ lib, rustPlatform, source }:
rustPlatform.buildRustPackage {
  pname = "rave-xtask";
  inherit ((lib.importTOML ../../Cargo.toml).workspace.package) version;
  src = source;
  cargoLock.lockFile = ../../Cargo.lock;
  cargoBuildFlags = [ "--package" "xtask" ];
  # They boot machines; `cargo xtask test` runs them.
  doCheck = false;
  meta = {
    description = "Builds, boots, checks and converts RAVE's images";
    license = lib.licenses.mit;
    mainProgram = "xtask";
    platforms = [ "x86_64-linux" ];
  };
}
