# Intended differences and their reasons.
{ lib }:
let
  because = why: names: lib.genAttrs names (_: why);
in
{
  "package systemd-repart" = "growpart grows the root partition";
  "package linux-image-amd64" = "part of the system, not of its path";
  "package initramfs-tools" = "NixOS makes its own initrd";
  "package nginx-light" = "nginx.service names it by its store path";
  "package cloud-guest-utils" = "cloud-init's package brings its own growpart";
  "package qemu-guest-agent" = "an output of QEMU's package, which the service names by its store path";
  "package lightdm-gtk-greeter" = "part of lightdm's module";
  "package librsvg2-common" = "GTK's loaders come with the desktop's module";
  "package fonts-dejavu-core" = "fonts.packages";
  "package chromium-sandbox" = "user namespaces, which the kernel allows";
  "sshd AuthorizedKeysFile .ssh/authorized_keys /run/rave/authorized_keys.d/%u" =
    "keys of the configuration are in a file of their own, so that a switch can withdraw them";
  "unit ssh.service" = "called sshd.service, with an alias";
  "group plugdev" = "NixOS has no such group";
  "group netdev" = "networkmanager does that";
  "group sudo" = "called wheel";
  "group docker" = "where there is Docker";

  "group beyond: wheel" = "Debian's is called sudo";
  "group beyond: systemd-journal" = "reads the journal, as adm does on Debian";
  "group beyond: networkmanager" = "Debian's is called netdev";
  "user's main group" = "NixOS puts all users into users; the home folder is closed to the group";

  "package beyond: qemu-host-cpu-only" = "its output ga has qemu-ga; Debian has it as qemu-guest-agent";
  "package beyond: gcc-wrapper" = "the linker that rustc calls; Debian's rustc depends on it";
  "package beyond: rave-guest" = "Debian has it as /usr/local/bin/rave-guest";
  "package beyond: rave-tools-commands" = "Debian has them as links in /usr/local/bin";
  "package beyond: rave-launchers" = "Debian has them as files of /usr/share/applications";
  "package beyond: x-www-browser" = "Debian's alternatives have it";
  "package beyond: pkg-config-wrapper" = "finds the libraries of nix-ld and of development shells";
  "package beyond: steam-run" = "runs programs that were built for other distributions";

  "sshd beyond: AuthorizedPrincipalsFile" = "none is sshd's default too";
  "sshd beyond: X11Forwarding" = "off, the default of NixOS: the desktop is reached in other ways";
}
// because "NixOS allows fewer, none of them weak" [
  "sshd beyond: Ciphers"
  "sshd beyond: KexAlgorithms"
  "sshd beyond: Macs"
]
# The search path of systemd on NixOS has no system programs.
// because "adds the search path that is Debian's default" (
  map (unit: "drop-ins of ${unit}.service") [
    "claude-code-router"
    "install-claude-tools"
    "rave-channel"
    "rave-health"
    "rave-install"
    "rave-provide"
    "rave-ready"
    "rave-ssh-keys"
    "rave-template"
    "setup-agent-environment"
  ]
)
# Masked on Debian for a faster boot under software emulation.
// because "not masked: its cost at boot was not measured on NixOS" (
  map (unit: "mask of ${unit}") [
    "dev-hugepages.mount"
    "modprobe@configfs.service"
    "modprobe@dm_mod.service"
    "modprobe@drm.service"
    "modprobe@loop.service"
    "sys-kernel-config.mount"
    "sys-kernel-debug.mount"
    "sys-kernel-tracing.mount"
    "systemd-journal-catalog-update.service"
    "systemd-networkd-persistent-storage.service"
    "systemd-pstore.service"
    "systemd-update-done.service"
  ]
)
