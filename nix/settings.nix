# rave.toml, profiles/*.toml and, if it exists, rave.local.toml, checked. All other files take their settings from here.
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
    # Git ignores this file, so flakes do not see it; `nix-build` does.
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
    tools
    vm
    ;
  extra = config.extra // {
    environment = lib.listToAttrs (map variable config.extra.environment);
  };
}
