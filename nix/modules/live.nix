# The live session of the ISO, started by the kernel argument `rave.live=LABEL`, and its installer. The medium is found
# with the script of the Debian base's initrd.
{ config, lib, pkgs, utils, ... }:
let
  assets = import ../lib/assets.nix { inherit lib; };
  inherit ((lib.importJSON ../facts.json)) iso;
  # The script also mounts the medium here.
  live = "/run/rave";
  isLive = "rave.live";

  # Mounts that need no device of the machine, such as that of /usr/bin by envfs: a live session has no fstab.
  bound = lib.filterAttrs (_: one: one.device == "none" || lib.elem "bind" one.options) config.fileSystems;
  mountUnit =
    where: one:
    pkgs.writeTextDir "${utils.escapeSystemdPath where}.mount" ''
      [Unit]
      Before=local-fs.target

      [Mount]
      What=${one.device}
      Where=${where}
      Type=${one.fsType}
      Options=${lib.concatStringsSep "," (lib.subtractLists [ "nofail" ] one.options)}
    '';
  mountUnits = pkgs.symlinkJoin { name = "rave-live-mounts"; paths = lib.mapAttrsToList mountUnit bound; };
in
{
  # Additional modules of the initrd, which are only loaded on demand.
  boot.initrd.availableKernelModules = [ "isofs" "squashfs" "loop" "overlay" ];
  boot.initrd.systemd = {
    extraBin.losetup = "${config.boot.initrd.systemd.package.util-linux}/bin/losetup";
    services.rave-live = {
      description = "Find the live medium and the disk on it";
      unitConfig = {
        DefaultDependencies = false;
        ConditionKernelCommandLine = isLive;
        # Runs only once, even if the root file system is started again.
        ConditionPathExists = "!${live}/memory/work";
      };
      after = [ "systemd-udev-trigger.service" ];
      requiredBy = [ "sysroot.mount" ];
      before = [ "sysroot.mount" ];
      serviceConfig = {
        Type = "oneshot";
        StandardOutput = "journal+console";
        StandardError = "journal+console";
      };
      script = ''
        # As the script expects: it reports failures itself.
        set +e
        panic() {
          echo "$1" >&2
          exit 1
        }
        ${assets.read "live-medium.sh"}
        mkdir --parents ${live}/lower ${live}/memory &&
          mount -t ext4 -o ro /dev/loop1 ${live}/lower &&
          mount -t tmpfs -o mode=0755 tmpfs ${live}/memory &&
          mkdir ${live}/memory/upper ${live}/memory/work ||
          panic "rave: no memory could be laid over the medium's file system"
      '';
    };
  };

  # The kernel arguments of a live session. The root file system is the one prepared by rave-live, regardless of UUIDs
  # on the machine's disks; without fstab, which would check and grow the disk's file system and mount its /boot.
  system.build.raveLiveArguments = toString [
    "root=overlay"
    "rootfstype=overlay"
    "rootflags=lowerdir=${live}/lower,upperdir=${live}/memory/upper,workdir=${live}/memory/work"
    "rw"
    "fstab=no"
  ];

  # It would grow a RAVE system that is already on the machine's disk.
  systemd.services.growpart.unitConfig.ConditionKernelCommandLine = "!${isLive}";

  # A medium with answers starts the installer, and so does the kernel argument `rave.install`.
  services.udev.extraRules = assets.read "install.rules";
  systemd.generators.rave-install = pkgs.writeShellScript "rave-install-generator" ''
    [ -e ${iso.disk} ] || exit 0
    read -r arguments < /proc/cmdline
    case " $arguments " in
    *" rave.install "* | *" rave.install="*)
      ${pkgs.coreutils}/bin/ln --symbolic /etc/systemd/system/rave-install.target "$2/default.target" ;;
    esac
  '';
  systemd.generators.rave-live = pkgs.writeShellScript "rave-live-generator" ''
    read -r arguments < /proc/cmdline
    case " $arguments " in
    *" ${isLive} "* | *" ${isLive}="*)
      ${pkgs.coreutils}/bin/mkdir --parents "$1/local-fs.target.wants"
      for unit in ${mountUnits}/*.mount; do
        ${pkgs.coreutils}/bin/ln --symbolic "$unit" "$1/"
        ${pkgs.coreutils}/bin/ln --symbolic "../''${unit##*/}" "$1/local-fs.target.wants/"
      done ;;
    esac
  '';

  # For a check.
  system.build.raveLiveMounts = lib.attrNames bound;
  system.build.raveIso = import ../images/iso.nix { inherit config lib pkgs; };
}
