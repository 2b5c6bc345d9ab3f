# Docker with Compose for the user, activated by its socket.
{ config, lib, pkgs, ... }:
{
  config = lib.mkIf (config.rave.enable && lib.elem "docker" config.rave.features) {
    virtualisation.docker = {
      enable = true;
      enableOnBoot = false;
    };
    users.users.${config.rave.user}.extraGroups = [ "docker" ];
    environment.systemPackages = [ pkgs.docker-compose ];
  };
}
