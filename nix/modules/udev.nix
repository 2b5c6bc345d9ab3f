# Folders of udev's rules that are no links. udevd (seen with systemd 262, and in the code from 260 on) keeps a file of rules under
# the name by which it was found, and looks for changes under a name in which links to its folder are resolved. NixOS makes the
# folder a link, so all rules count as changed: they are read again every three seconds while there are events. Software
# emulation takes longer than that to read them, and hardly handles an event.
{ config, lib, ... }:
let
  rules = "udev/rules.d";
in
{
  # `apply`, because the definition to change is that of the module for udev. With `*` the folder has a link for each file.
  options.environment.etc = lib.mkOption {
    apply =
      etc:
      if config.rave.enable then
        lib.mapAttrs (name: file: if name == rules then file // { source = "${file.source}/*"; } else file) etc
      else
        etc;
  };

  config = lib.mkIf config.rave.enable {
    # The initrd has no option for this.
    boot.initrd.systemd.services.systemd-udevd.preStart = ''
      if folder=$(readlink /etc/${rules}); then
        rm /etc/${rules}
        mkdir /etc/${rules}
        ln --symbolic "$folder"/* /etc/${rules}
      fi
    '';
  };
}
