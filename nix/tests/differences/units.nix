# Rows about units that the text of RAVE's own units does not tell: what NixOS puts on top of them, what starts by itself,
# and what must not.
{ lib, rust, assets, row }:
{ config, values, text }:
let
  inherit (config.systemd) units packages;
  masks = "crates/guest/src/assets/masks.rs";
  unitsRust = "crates/guest/src/assets/units.rs";

  # `(unit, ...)` of a Rust list, from its name to the end of it.
  pairsOf =
    path: name:
    let
      rest = lib.last (lib.splitString "const ${name}:" (rust.read path));
      found = rust.matches "[(]${rust.space}${rust.string},${rust.space}${rust.string},?${rust.space}[)]" (
        lib.head (lib.splitString "];\n" rest)
      );
    in
    if found == [ ] then throw "${path}: no pairs in ${name}" else found;

  # Units that systemd brings: generateUnits of nixpkgs' lib/systemd-lib.nix tells them in its script alone.
  script = config.environment.etc."systemd/system".source.buildCommand;
  upstream = lib.splitString " " (
    lib.head (lib.head (rust.matches "for i in ([^;]*); do" script))
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
  mask = pair: row "mask of ${lib.head pair}" false (starts (lib.head pair));

  # "unit", "target": the target wants it.
  enabled =
    pair:
    let
      debian = lib.head pair;
      name = if debian == "ssh.service" then "sshd.service" else debian;
      target = lib.last pair;
    in
    row "${debian} is wanted by ${target}" true (
      lib.elem target (units.${name}.wantedBy or [ ]) && units.${name}.enable
    );
  network =
    if config.networking.networkmanager.enable then "NETWORK_MANAGER" else "NETWORKD";

  # Text below lib/systemd/system of every package of units whose content can be told without building it.
  dropIns = lib.concatMap (
    package: lib.mapAttrsToList (name: path: { inherit name; text = path.text or (builtins.readFile path); }) (package.entries or { })
  ) packages;
  # Settings of a unit's text that say when it starts, and what it may do.
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
      (row "hardening of ${name}" (hardened shared) (map values (hardened "${unit.text}\n${tops}")))
      (row "drop-ins of ${name}" [ ] (map (dropIn: baseNameOf dropIn.name) onTop))
    ];
in
map mask (pairsOf masks "MASKED")
++ map enabled (pairsOf unitsRust "FROM_PACKAGES" ++ pairsOf unitsRust network)
++ lib.concatMap own assets.units
++ [
  (row "drop-in of ssh.service" (assets.read "units/ssh.conf") (
    lib.concatStrings (map (dropIn: dropIn.text) (lib.filter (dropIn: lib.hasInfix "/sshd.service.d/" dropIn.name) dropIns))
  ))
]
