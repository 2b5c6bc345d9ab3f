# Live and an installer, by nixpkgs' own ISO builder. It carries the profile's disk, and `rave-guest install` streams
# that to another: what is installed is what every other format holds.
{ lib, pkgs, profile, disk, system }:
let
  squashfs = pkgs.runCommand "rave-${profile}-disk.squashfs" { nativeBuildInputs = [ pkgs.squashfsTools ]; } ''
    mkdir disk && ln --symbolic ${disk}/nixos.img disk.raw
    cp --dereference --sparse=always disk.raw disk/disk.raw
    mksquashfs disk $out -comp zstd -all-root -no-xattrs -mkfs-time 1767225600 -all-time 1767225600 -quiet
  '';
  live = system.extendModules {
    modules = [
      (pkgs.path + "/nixos/modules/installer/cd-dvd/iso-image.nix")
      {
        image.baseName = lib.mkForce "nixos";
        isoImage = {
          volumeID = "RAVE_${lib.toUpper (lib.replaceStrings [ "-" ] [ "_" ] profile)}";
          makeEfiBootable = true;
          makeUsbBootable = true;
          contents = [
            {
              source = squashfs;
              target = "/rave/disk.squashfs";
            }
          ];
        };
        fileSystems = {
          # Where the installer and its unit look.
          "/run/rave/image" = {
            device = "/iso/rave/disk.squashfs";
            fsType = "squashfs";
            options = [ "loop" "ro" ];
          };
          # The disk's.
          "/boot".enable = false;
        };
        boot.growPartition = lib.mkForce false;
        boot.loader.timeout = lib.mkForce 5;
        services.udev.extraRules = builtins.readFile ../../crates/guest/assets/install.rules;
      }
    ];
  };
in
pkgs.runCommand "rave-${profile}-iso"
  {
    meta = {
      description = "A live session of ${profile} that installs it";
      platforms = [ "x86_64-linux" ];
    };
  }
  ''
    mkdir $out
    ln --symbolic ${live.config.system.build.isoImage}/iso/nixos.iso $out/nixos.iso
  ''
