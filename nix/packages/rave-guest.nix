# The program that lies in every guest. Static, as on the other base: it also runs in an empty container.
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
  # Its tests want systemd, nginx and sshd; `cargo xtask test` runs them.
  doCheck = false;
  meta = {
    description = "What RAVE runs inside of its guests";
    license = lib.licenses.mit;
    mainProgram = "rave-guest";
    platforms = [ "x86_64-linux" ];
  };
}
