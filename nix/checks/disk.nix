# Lessons from booting disks, as far as evaluation can check them. Returns a list of problems, with the profile.
{ lib, profiles }:
let
  # Size of a generation's kernel and initrd in /boot, MB: 38 were measured.
  generation = 45;
  # Drivers of the disks that crates/smoke/src/matrix.rs boots from.
  drivers = [ "virtio_blk" "virtio_scsi" "ahci" "nvme" "vmw_pvscsi" "mptspi" "mptsas" "sd_mod" "sr_mod" "usb_storage" "isofs" "squashfs" "loop" "overlay" ];
  of =
    name: system:
    let
      inherit (system) config;
      inherit (config.boot.loader) grub;
      wrong = condition: what: lib.optional condition "${name}: ${what}";
      # The rebuild adds one before it removes the oldest.
      needed = (grub.configurationLimit + 1) * generation;
      absent = lib.subtractLists config.boot.initrd.availableKernelModules drivers;
      # Units that would write to the machine's disk, or look for the image's disk, in a live session.
      heedless = lib.filter (
        name: !lib.hasInfix "\nConditionKernelCommandLine=!rave.live\n" config.systemd.units.${name}.text
      ) [ "growpart.service" ];
      # What a live session mounts otherwise, or must not mount.
      unmounted = lib.subtractLists ([ "/" "/boot" ] ++ config.system.build.raveLiveMounts) (lib.attrNames config.fileSystems);
      resolved = config.environment.etc."systemd/resolved.conf.d/rave.conf".text or "";
    in
    wrong (needed > config.rave.disk.espSize) "${toString grub.configurationLimit} generations need ${toString needed} MB of /boot, which has ${toString config.rave.disk.espSize} MiB"
    ++ wrong (grub.devices != [ "nodev" ]) "nixos-rebuild would write a boot loader to ${toString grub.devices}, which not every hypervisor has"
    ++ wrong (absent != [ ]) "the initrd lacks ${toString absent}"
    ++ wrong (!(config.boot.growPartition && config.fileSystems."/".autoResize)) "the root file system does not grow"
    ++ wrong (heedless != [ ]) "a live session starts ${toString heedless}"
    ++ wrong (!lib.hasInfix " fstab=no" config.system.build.raveLiveArguments) "a live session mounts what the disk's own system mounts"
    ++ wrong (unmounted != [ ] || !config.systemd.generators ? rave-live) "a live session lacks ${toString unmounted}"
    ++ wrong (!(lib.hasInfix "LLMNR=no" resolved && lib.hasInfix "MulticastDNS=no" resolved)) "resolved listens on all addresses"
    ++ wrong (!lib.hasInfix "keystatus --shift" grub.extraConfig) "no key shows the menu of generations"
    ++ wrong (!lib.hasInfix "/etc/profile.d/rave-sandbox.sh" config.environment.loginShellInit || config.security.pam.services.sshd.rules.session.env.settings.readenv != 1) "programs of a sandbox lack what the host provides"
    ++ wrong (!lib.elem "/etc/ssh/authorized_keys.d/%u" config.services.openssh.authorizedKeysFiles) "keys of the configuration cannot log in"
    ++ wrong (!lib.hasSuffix "/*" config.environment.etc."udev/rules.d".source) "the folder of udev's rules is a link, so udevd reads them again and again"
    ++ wrong (!lib.hasInfix "@{HOME}/.local/bin" config.environment.etc."pam/environment".text) "`ssh HOST COMMAND` has no ~/.local/bin in its PATH"
    ++ wrong (!lib.hasInfix "export TERM=dumb" config.system.build.raveDisk.buildCommand) "nix's log of the disk keeps every step of a progress bar";
in
lib.concatLists (lib.mapAttrsToList of profiles)
