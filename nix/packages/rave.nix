# The product's program. The flake uses it to make its formats, with the same code as the Debian base's artifacts.
{ lib, rustPlatform, source }:
rustPlatform.buildRustPackage {
  pname = "rave";
  inherit ((lib.importTOML ../../Cargo.toml).workspace.package) version;
  src = source;
  cargoLock.lockFile = ../../Cargo.lock;
  cargoBuildFlags = [ "--package" "rave" "--bin" "rave" ];
  # Its tests boot machines; `cargo xtask test` runs them.
  doCheck = false;
  meta = {
    description = "Builds, boots, checks and converts RAVE's images";
    license = lib.licenses.mit;
    mainProgram = "rave";
    platforms = [ "x86_64-linux" ];
  };
}
