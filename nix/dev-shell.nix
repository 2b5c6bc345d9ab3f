# The requirements of `cargo xtask doctor` except mmdebstrap, which nixpkgs lacks: the Debian base needs a Debian or Ubuntu host.
{
  mkShell,
  cargo,
  rustc,
  clippy,
  rustfmt,
  rust-analyzer,
  cargo-nextest,
  qemu,
  OVMF,
  mtools,
  dosfstools,
  e2fsprogs,
  util-linux,
  grub2,
  squashfsTools,
  libisoburn,
  nodejs_24,
  openssh,
  nginx,
  glibc,
}:
mkShell {
  packages = [
    cargo
    rustc
    clippy
    rustfmt
    rust-analyzer
    cargo-nextest
    # The guest's program is static.
    glibc.static
    qemu
    OVMF
    mtools
    dosfstools
    e2fsprogs
    util-linux
    grub2
    squashfsTools
    libisoburn
    nodejs_24
    openssh
    nginx
  ];
}
