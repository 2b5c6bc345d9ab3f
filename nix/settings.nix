# rave.toml, profiles/*.toml and, where there is one, rave.local.toml, checked. Every other file takes its settings from here.
{
  lib,
  # The folder of rave.toml.
  root ? ../.,
}:
let
  evaluate = import ./lib/evaluate.nix { inherit lib; };
  has = name: builtins.pathExists (root + "/${name}");
  layer = file: shape: {
    inherit file;
    document = shape (builtins.fromTOML (builtins.readFile (root + "/${file}")));
  };

  profiles = lib.optionals (has "profiles") (
    lib.filter (lib.hasSuffix ".toml") (lib.attrNames (builtins.readDir (root + "/profiles")))
  );
  profile =
    file: layer "profiles/${file}" (document: { profiles.${lib.removeSuffix ".toml" file} = document; });

  config = evaluate (
    [ (layer "rave.toml" lib.id) ]
    ++ map profile profiles
    # Git ignores this file, so a flake does not see it: `nix-build` does.
    ++ lib.optional (has "rave.local.toml") (layer "rave.local.toml" lib.id)
  );

  # "NAME=value"
  variable =
    entry:
    let
      parts = lib.splitString "=" entry;
    in
    lib.nameValuePair (lib.head parts) (lib.concatStringsSep "=" (lib.tail parts));
in
{
  inherit (config)
    defaults
    guest
    profiles
    services
    vm
    ;
  extra = config.extra // {
    environment = lib.listToAttrs (map variable config.extra.environment);
  };
}
