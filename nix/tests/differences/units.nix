# Rows about units beyond the text of RAVE's own units: what NixOS adds to them, which units start, and which must not.
{ lib, facts, assets, row }:
{ config, values, text }:
let
  inherit (config.systemd) units packages;

  # Units of systemd itself: only the script of generateUnits in nixpkgs' lib/systemd-lib.nix lists them.
  script = config.environment.etc."systemd/system".source.buildCommand;
  upstream = lib.splitString " " (
    lib.head (lib.findFirst builtins.isList null (builtins.split "for i in ([^;]*); do" script))
  );
  starts =
    name:
    let
      unit = units.${name};
    in
    if units ? ${name} then
      unit.enable && (unit.wantedBy ++ unit.requiredBy ++ unit.upheldBy or [ ] ++ unit.aliases != [ ])
    else
      lib.elem name upstream || lib.elem (template name) upstream;
  # modprobe@drm.service -> modprobe@.service
  template = name: lib.concatStringsSep "@" (lib.imap0 (i: part: if i == 1 then ".${lib.last (lib.splitString "." part)}" else part) (lib.splitString "@" name));
  exists = name: units ? ${name} || lib.elem name upstream || lib.elem (template name) upstream;
  # Names of units that systemd would start with a unit; one that no base has is ignored without a word.
  pulled =
    content:
    lib.concatMap (line: lib.filter (word: word != "") (lib.splitString " " (lib.last (lib.splitString "=" line)))) (
      settingsOf [ "Wants" "Requires" "BindsTo" "Upholds" ] content
    );
  mask = unit: row "mask of ${unit}" false (starts unit);

  enabled =
    { unit, target }:
    let
      name = if unit == "ssh.service" then "sshd.service" else unit;
    in
    row "${unit} is wanted by ${target}" true (
      lib.elem target (units.${name}.wantedBy or [ ]) && units.${name}.enable
    );
  network = if config.networking.networkmanager.enable then facts.networkManager else facts.networkd;

  # Files below lib/systemd/system of every package of units whose content is known without building it.
  dropIns = lib.concatMap (
    package: lib.mapAttrsToList (name: path: { inherit name; text = path.text or (builtins.readFile path); }) (package.entries or { })
  ) packages;
  # Settings that control when a unit starts and what it may do.
  order = [ "After" "Before" "Wants" "Requires" "Requisite" "BindsTo" "PartOf" "Conflicts" "Upholds" ];
  settingsOf =
    keys: content:
    lib.filter (line: lib.elem (lib.head (lib.splitString "=" line)) keys) (lib.splitString "\n" content);
  hardened = content: lib.unique (lib.filter isHardening (lib.splitString "\n" content));
  isHardening =
    line:
    builtins.match "(Protect|Private|Restrict|NoNewPrivileges|Capability|Ambient|SystemCall|MemoryDeny|Lock|DynamicUser|User|Group|ReadWrite|ReadOnly|Inaccessible|UMask|RemoveIPC|Socket|IPAddress|Device|Keyring|ProcSubset).*=.*" line
    != null;
  own =
    name:
    let
      unit = units.${name};
      shared = text "units/${name}";
      onTop = lib.filter (dropIn: lib.hasInfix "/${name}.d/" dropIn.name) dropIns;
      tops = lib.concatMapStringsSep "\n" (dropIn: dropIn.text) onTop;
    in
    [
      (row "state of ${name}" "enabled, as a whole text" (
        if !unit.enable then "masked"
        else if unit.overrideStrategy != "asDropinIfExists" then unit.overrideStrategy
        else "enabled, as a whole text"
      ))
      (row "order of ${name}" (settingsOf order shared) (settingsOf order "${unit.text}\n${tops}"))
      (row "missing units that ${name} starts" [ ] (lib.filter (unit: !exists unit) (pulled shared)))
      (row "hardening of ${name}" (hardened shared) (map values (hardened "${unit.text}\n${tops}")))
      (row "drop-ins of ${name}" [ ] (map (dropIn: baseNameOf dropIn.name) onTop))
    ];
in
map mask facts.masked
++ map enabled (facts.enabled ++ network)
++ lib.concatMap own assets.units
++ [
  (row "drop-in of ssh.service" (assets.read "units/ssh.conf") (
    lib.concatStrings (map (dropIn: dropIn.text) (lib.filter (dropIn: lib.hasInfix "/sshd.service.d/" dropIn.name) dropIns))
  ))
]
