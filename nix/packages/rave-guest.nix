# The program in every guest. Static, as on the Debian base, so that it also runs in an empty container.
{ lib, rustPlatform, glibc, source }:
rustPlatform.buildRustPackage {
  pname = "rave-guest";
  inherit ((lib.importTOML ../../Cargo.toml).workspace.package) version;
  src = source;
  cargoLock.lockFile = ../../Cargo.lock;
  cargoBuildFlags = [ "--package" "rave-guest" "--bin" "rave-guest" ];
  buildType = "guest";
  buildInputs = [ glibc.static ];
  env.RUSTFLAGS = "-Ctarget-feature=+crt-static";
  # Its tests need systemd, nginx and sshd; `cargo xtask test` runs them.
  doCheck = false;
  meta = {
    description = "RAVE's program inside its guests";
    license = lib.licenses.mit;
    mainProgram = "rave-guest";
    platforms = [ "x86_64-linux" ];
  };
}
