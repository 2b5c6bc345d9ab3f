# Live and an installer, by nixpkgs' own ISO builder. It carries the profile's disk, and `rave-guest install` streams
# that to another: what is installed is what every other format holds.
{ lib, pkgs, profile, disk, system }:
let
  inherit ((lib.importJSON ../facts.json)) iso;
  squashfs = pkgs.runCommand "rave-${profile}-disk.squashfs" { nativeBuildInputs = [ pkgs.squashfsTools ]; } ''
    mkdir disk && ln --symbolic ${disk}/nixos.img disk.raw
    cp --dereference --sparse=always disk.raw disk/${baseNameOf iso.disk}
    mksquashfs disk $out -comp zstd -all-root -no-xattrs -mkfs-time 1767225600 -all-time 1767225600 -quiet
  '';
  # What the medium's check reads: all that is not tiny, and not changed while the ISO is written as boot images are.
  checked =
    config:
    let
      inherit (config.system) build;
      inherit (config.system.boot.loader) kernelFile initrdFile;
      # As iso-image.nix names them.
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
    # The live session's store. nixpkgs would make it while it writes the ISO, too late for a digest.
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
      # Where the installer looks for them.
      fileSystems.${iso.medium} = {
        device = "/iso";
        fsType = "none";
        options = [ "bind" "ro" ];
      };
    };
  # A function and no name of this scope: what it evaluated, a whole system of some 300 MiB, is then forgotten.
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
          # Where the installer and its unit look.
          ${dirOf iso.disk} = {
            device = "/iso/${iso.squashfs}";
            fsType = "squashfs";
            options = [ "loop" "ro" ];
          };
          # The disk's.
          "/boot".enable = false;
        };
        boot.growPartition = lib.mkForce false;
        boot.loader.timeout = lib.mkForce 5;
        services.udev.extraRules = builtins.readFile ../../crates/guest/assets/install.rules;
        # `rave.install` among the kernel's arguments: as the initrd of the other base does it.
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
      # nixpkgs may name a file otherwise one day.
      onMedium = map (file: "${file.target} ${file.source}") config.isoImage.contents;
      absent = lib.filter (file: !lib.elem "${file.target} ${file.source}" onMedium) (checked config);
    in
    assert lib.assertMsg (absent == [ ])
      "nix/images/iso.nix: the medium has no ${lib.concatMapStringsSep ", " (file: file.target) absent}, which its digests name";
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
