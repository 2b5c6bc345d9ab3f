# Merges and checks the layers of rave.toml: a list of { file, document }, lowest priority first. A higher layer overrides
# single keys; a list replaces a list.
{ lib }:
layers:
let
  # `low` without the keys that `high` sets too.
  without =
    high: low:
    lib.concatMapAttrs (
      name: value:
      if !high ? ${name} then
        { ${name} = value; }
      else
        lib.optionalAttrs (lib.isAttrs value && lib.isAttrs high.${name}) {
          ${name} = without high.${name} value;
        }
    ) low;
  merged = lib.foldl' (low: layer: lib.recursiveUpdate low layer.document) { };
  module = index: layer: {
    _file = layer.file;
    config = without (merged (lib.drop (index + 1) layers)) layer.document;
  };
  inherit (lib.evalModules { modules = [ ./options.nix ] ++ lib.imap0 module layers; }) config;

  # Two services on one port, in the guest or on the host.
  ports = side: lib.mapAttrsToList (_: service: service.${side}) config.services;
  shared = lib.filter (side: !lib.allUnique (ports side)) [ "guest" "host" ];
in
builtins.addErrorContext "while checking rave.toml and profiles/; `cargo xtask config` names the line" (
  if shared == [ ] then
    builtins.deepSeq config config
  else
    throw "services: each needs a ${lib.head shared} port of its own"
)
