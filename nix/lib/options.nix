# The keys of rave.toml as options. A key without a default is required; a key without an option is refused.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  facts = (lib.importJSON ../facts.json).raveToml;
  t = import ./types.nix { inherit lib; };

  required = type: mkOption { inherit type; };
  optional = type: default: mkOption { inherit type default; };
  names = type: optional (t.distinctNames type) [ ];
  name = known: types.enum known;

  profile.options = {
    description = required t.line;
    hardened = optional types.bool false;
    features = names (name facts.features);
    debian = names t.packageName;
  };
in
{
  options = {
    schema = required (types.enum [ facts.schema ]);
    guest = {
      user = required t.userName;
      password = required t.password;
      hostname = required t.hostName;
      gateway_names = names t.hostName;
      certificates = names t.certificatePath;
      authorized_keys = optional (t.distinct lib.trim t.publicKey) [ ];
    };
    vm = {
      memory = required (t.limited facts.limits.memory);
      cpus = required (t.limited facts.limits.cpus);
      disk = required (t.limited facts.limits.disk);
    };
    compress = {
      qemu = optional (name facts.compressions) "zstd";
      # A raw disk is compressed as a whole file.
      raw = optional (name (lib.remove "zlib" facts.compressions)) "none";
    };
    services = lib.genAttrs facts.services (_: {
      guest = required t.port;
      host = required t.port;
    });
    tools.claude = optional (name facts.claude) "baked";
    extra = {
      packages = names t.packageName;
      units = optional (t.distinct baseNameOf t.unitPath) [ ];
      environment = optional (t.distinct t.variableName t.variable) [ ];
    };
    profiles = mkOption {
      type = types.attrsOf (types.submodule profile);
      # Not a check of the type: the module system rebuilds types with submodules and drops it.
      apply =
        profiles:
        let
          wrong = lib.filter (name: !t.profileName.check name) (lib.attrNames profiles);
        in
        if profiles == { } then
          throw "profiles: at least one is required; add profiles/NAME.toml"
        else if wrong != [ ] then
          throw "profiles: ${builtins.toJSON (lib.head wrong)} is not a ${t.profileName.description}"
        else
          profiles;
    };
    debian = {
      suite = required t.suite;
      date = optional (name facts.dates) "lock";
      # Only `rave` reads these two.
      mirror = optional (types.nullOr t.mirror) null;
      security_mirror = optional (types.nullOr t.mirror) null;
      packages = names t.packageName;
      features = lib.genAttrs facts.features (_: names t.packageName);
    };
    # Only `rave` reads these.
    sandboxes = {
      memory = optional (types.nullOr (t.limited facts.limits.sandboxes)) null;
      disk = optional (types.nullOr (t.limited facts.limits.sandboxes)) null;
      keep-audit = optional (t.limited facts.limits.keepAudit) 30;
      require-fence = optional types.bool false;
    };
    network = {
      mode = optional (types.nullOr (name facts.networkModes)) null;
      allow = names t.networkRule;
      deny = names t.networkRule;
    };
    release.denied_licences = names t.licenceName;
    nixos = {
      builders = names t.builder;
      substituters = names t.substituter;
      max-jobs = optional (types.nullOr (t.limited facts.limits.maxJobs)) null;
      offline = optional types.bool false;
      rebuild = optional types.bool false;
    };
    defaults = {
      profile = required (name (lib.attrNames config.profiles));
      formats = required (
        types.addCheck (t.distinctNames (name facts.formats)) (formats: formats != [ ])
        // {
          description = "list of at least one format, none twice";
          emptyValue = { };
        }
      );
      base = optional (types.nullOr (name facts.bases)) null;
    };
  };
}
