# The usual command-line tools.
{ config, lib, pkgs, ... }:
{
  config = lib.mkIf (config.rave.enable && lib.elem "everyday-tools" config.rave.features) {
    environment.systemPackages = [ pkgs.zip pkgs.unzip pkgs.tree pkgs.htop pkgs.nano ];
  };
}
