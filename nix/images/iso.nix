# A live session with an installer, by nixpkgs' own ISO builder. It carries the profile's disk, which `rave-guest install`
# writes to a disk of the machine: the installed system is the same as in every other format.
{ lib, pkgs, profile, disk, system }:
let
  inherit ((lib.importJSON ../facts.json)) iso;
  squashfs = pkgs.runCommand "rave-${profile}-disk.squashfs" { nativeBuildInputs = [ pkgs.squashfsTools ]; } ''
    mkdir disk && ln --symbolic ${disk}/nixos.img disk.raw
    cp --dereference --sparse=always disk.raw disk/${baseNameOf iso.disk}
    mksquashfs disk $out -comp zstd -all-root -no-xattrs -mkfs-time 1767225600 -all-time 1767225600 -quiet
  '';
  # The files that the medium's check reads: all large ones, except boot images, which change while the ISO is written.
  checked =
    config:
    let
      inherit (config.system) build;
      inherit (config.system.boot.loader) kernelFile initrdFile;
      # The names that iso-image.nix uses.
      boot = source: {
        inherit source;
        target = "/boot/${source}";
      };
    in
    [
      (boot "${config.boot.kernelPackages.kernel}/${kernelFile}")
      (boot "${build.initialRamdisk}/${initrdFile}")
    ]
    ++ own config;
  own = config: [
    # The store of the live session. nixpkgs creates it while writing the ISO, which is too late for a digest.
    {
      source = pkgs.callPackage (pkgs.path + "/nixos/lib/make-squashfs.nix") {
        storeContents = [ config.system.build.toplevel ];
        comp = config.isoImage.squashfsCompression;
      };
      target = "/nix-store.squashfs";
    }
    {
      source = squashfs;
      target = "/${iso.squashfs}";
    }
  ];
  layout =
    { config, ... }:
    {
      isoImage = {
        storeContents = lib.mkForce [ ];
        contents = own config ++ [
          {
            source = import ./digests.nix {
              inherit lib pkgs;
              files = checked config;
            };
            target = "/${iso.digests}";
          }
        ];
      };
      # Where the installer expects the medium.
      fileSystems.${iso.medium} = {
        device = "/iso";
        fsType = "none";
        options = [ "bind" "ro" ];
      };
    };
  # A function rather than a value of this scope, so that the evaluated system, about 300 MiB, can be freed.
  live = _: system.extendModules {
    modules = [
      (pkgs.path + "/nixos/modules/installer/cd-dvd/iso-image.nix")
      layout
      {
        image.baseName = lib.mkForce "nixos";
        isoImage = {
          volumeID = "RAVE_${lib.toUpper (lib.replaceStrings [ "-" ] [ "_" ] profile)}";
          makeEfiBootable = true;
          makeUsbBootable = true;
        };
        fileSystems = {
          # Where the installer and its unit expect the disk.
          ${dirOf iso.disk} = {
            device = "/iso/${iso.squashfs}";
            fsType = "squashfs";
            options = [ "loop" "ro" ];
          };
          # Belongs to the disk.
          "/boot".enable = false;
        };
        boot.growPartition = lib.mkForce false;
        boot.loader.timeout = lib.mkForce 5;
        services.udev.extraRules = builtins.readFile ../../crates/guest/assets/install.rules;
        # `rave.install` on the kernel command line, as in the initrd of the Debian base.
        systemd.services.rave-install-asked = {
          wantedBy = [ "multi-user.target" ];
          unitConfig.ConditionKernelCommandLine = "rave.install";
          serviceConfig = {
            Type = "oneshot";
            ExecStart = "${pkgs.systemd}/bin/systemctl --no-block isolate rave-install.target";
          };
        };
      }
    ];
  };
  file =
    { config, ... }:
    let
      # nixpkgs may rename a file in the future.
      onMedium = map (file: "${file.target} ${file.source}") config.isoImage.contents;
      absent = lib.filter (file: !lib.elem "${file.target} ${file.source}" onMedium) (checked config);
    in
    assert lib.assertMsg (absent == [ ])
      "nix/images/iso.nix: ${lib.concatMapStringsSep ", " (file: file.target) absent} have digests and are not on the medium";
    "${config.system.build.isoImage}/iso/nixos.iso";
in
pkgs.runCommand "rave-${profile}-iso"
  {
    passthru.live = live { };
    meta = {
      description = "A live session of ${profile} that installs it";
      platforms = [ "x86_64-linux" ];
    };
  }
  ''
    mkdir $out
    ln --symbolic ${file (live { })} $out/nixos.iso
  ''
