# Checks a parsed rave.toml: { problems = [ text ]; settings = { ... }; }. The rules and the words are those of crates/spec;
# `nix/tests/bad-settings.nix` compares both. Nix's TOML has no lines and columns, so a problem names its key alone.
{ lib }:
document:
let
  inherit (builtins) isAttrs isBool isFloat isInt isList isString match toJSON;
  rust = import ./rust.nix { inherit lib; };
  names = "crates/spec/src/names.rs";
  formats = rust.closedSet names "Format";
  features = rust.closedSet names "Feature";
  bases = rust.closedSet names "Base";
  services = rust.closedSet names "ServiceName";
  compressions = rust.closedSet names "Compression";
  dates = rust.closedSet names "Date";
  reserved = rust.strings names "RESERVED";
  unitSuffixes = map (suffix: ".${suffix}") (rust.strings "crates/spec/src/check.rs" "UNIT_SUFFIXES");
  keyKinds = rust.strings "crates/spec/src/check.rs" "KEY_KINDS";

  inherit (import ./nearest.nix { inherit lib; }) nearest oneOf;

  # What was found and what would be right.
  refusal = what: expected: what + lib.optionalString (expected != "") "; expected ${expected}";
  unknown =
    thing: word: known:
    let
      near = nearest word known;
    in
    "unknown ${thing} ${toJSON word}" + (if near == null then "; expected ${oneOf known}" else "; did you mean ${toJSON near}?");
  mismatch =
    value: expected:
    refusal (
      if isString value then "${toJSON value} is a string"
      else if isBool value then "${lib.boolToString value} is true or false"
      else if isList value then "this is a list"
      else if isAttrs value then "this is a table"
      else if isInt value then "${toString value} is a number"
      else if isFloat value then "${toJSON value} is a fraction"
      else "this does not fit"
    ) expected;

  # A check takes a value and gives null or what is wrong with it.
  text = expected: rule: value: if isString value then rule value else mismatch value expected;
  matching = pattern: what: expected: value: if match pattern value == null then refusal "${toJSON value} ${what}" expected else null;
  number = expected: rule: value: if isInt value then rule value else mismatch value expected;
  limited =
    unit: low: high:
    let
      expected = "a whole number of ${unit} from ${toString low} to ${toString high}";
    in
    {
      inherit expected;
      check = number expected (
        value: if value < low || value > high then refusal "${toString value} ${unit} is out of range" expected else null
      );
    };
  port = rec {
    expected = "a whole number from 1 to 65535";
    check = number expected (
      value: if value < 1 || value > 65535 then refusal "port ${toString value} is out of range" expected else null
    );
  };
  truth = value: if isBool value then null else mismatch value "true or false";
  among = thing: known: value: if lib.elem value known then null else unknown thing value known;

  control = "[[:cntrl:]]";
  hasControl = value: match "(.|\n)*${control}(.|\n)*" value != null;
  escaped = c: if c == "\n" then "\\n" else if c == "\r" then "\\r" else if c == "\t" then "\\t" else c;
  firstOf = pattern: value: lib.findFirst (c: match pattern c != null) null (lib.stringToCharacters value);

  userName =
    value:
    if match "[a-z][a-z0-9_-]{0,31}" value == null then
      refusal "${toJSON value} is not a user name that Debian takes" "a lower-case letter, then letters a-z, digits, - or _, at most 32 characters"
    else if lib.elem value reserved || lib.hasPrefix "systemd-" value then
      refusal "user name ${toJSON value} belongs to Debian itself" "another name"
    else
      null;
  password =
    value:
    let
      bad = firstOf "(:|${control})" value;
      expected = "at least one character, no colon and no control character";
    in
    if !isString value then
      refusal "the password is not a string" "a string"
    else if bad != null then
      refusal "the password holds '${escaped bad}'" expected
    else if value == "" then
      refusal "the password is empty" expected
    else
      null;
  hostName =
    value:
    let
      labels = lib.splitString "." value;
      label = part: match "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?" part != null;
    in
    if lib.stringLength value <= 64 && lib.all label labels && match "[0-9]*" (lib.last labels) == null then
      null
    else
      refusal "${toJSON value} is not a host name" "labels of letters, digits and inner hyphens with dots between, not a number last, at most 64 characters";
  publicKey =
    value:
    let
      expected = "the line of a file such as ~/.ssh/id_ed25519.pub";
      words = lib.splitString " " (lib.trim value);
    in
    if lib.hasInfix "PRIVATE KEY" value then
      refusal "this is a private key" expected
    else if lib.length words < 2 || !lib.elem (lib.head words) keyKinds || match "[A-Za-z0-9+/=]{68,}" (lib.elemAt words 1) == null || hasControl (lib.trim value) then
      refusal "this is not a public key of SSH" expected
    else
      null;
  package = matching "[a-z0-9][a-z0-9+.-]+" "is not a package name" "at least two of a-z, 0-9, +, - and ., the first a letter or digit";
  suite = matching "[a-z][a-z0-9-]*" "is not a suite" "a name such as trixie";
  compression = text "none, zlib or zstd" (among "compression" compressions);
  rawCompression =
    value:
    if value == "zlib" then refusal "a raw disk is not compressed by zlib" "none or zstd" else compression value;
  oneLine = value: if lib.trim value == "" || hasControl value then refusal "${toJSON value} is not a line of text" "a line of text" else null;
  unitPath =
    value:
    let
      parts = lib.splitString "/" value;
      name = lib.last parts;
      suffix = lib.any (suffix: lib.hasSuffix suffix name && name != suffix) unitSuffixes;
    in
    if value == "" || hasControl value || lib.any (part: lib.elem part [ ".." "." ]) parts || lib.hasPrefix "/" value then
      refusal "${toJSON value} does not stay below the folder of rave.toml" "a relative path without .."
    else if match "[A-Za-z0-9:_.@\\-]{1,255}" name == null || !suffix then
      refusal "${toJSON value} does not name a systemd unit" "a file name of letters, digits and :-_.\\@ that ends in ${oneOf unitSuffixes}"
    else
      null;
  # crates/spec/src/nixos.rs.
  nixos = "crates/spec/src/nixos.rs";
  isUrl = schemes: value: match "(${lib.concatStringsSep "|" (rust.strings nixos schemes)})://.+" value != null;
  hasPassword = value: match "[^:/]*://[^/?#]*:[^/?#]*@.*" value != null;
  withPassword = refusal "the URL holds a password" "a URL without one; netrc-file of nix.conf is for passwords";
  builder =
    value:
    let
      words = lib.filter (word: word != "") (lib.splitString " " value);
      first = lib.head words;
      fits =
        if lib.hasPrefix "@" first then
          match "@/.+" first != null && lib.length words == 1
        else
          isUrl "BUILDER_SCHEMES" first && lib.length words <= 8;
    in
    if words != [ ] && hasPassword first then
      withPassword
    else if words == [ ] || !fits || hasControl value || lib.hasInfix ";" value then
      refusal "${toJSON value} is not a remote builder" "a line of a machines file, such as \"ssh-ng://me@builder x86_64-linux\", or \"@/path/of/one\""
    else
      null;
  substituter =
    value:
    if hasPassword value then
      withPassword
    else if !isUrl "SUBSTITUTER_SCHEMES" value || hasControl value || lib.hasInfix " " value then
      refusal "${toJSON value} is not the URL of a substituter" "a URL such as \"https://cache.example.org\" or \"file:///mnt/cache\""
    else
      null;
  variableOf = entry: lib.head (lib.splitString "=" entry);
  valueOf = entry: lib.concatStringsSep "=" (lib.tail (lib.splitString "=" entry));
  variable =
    value:
    let
      name = variableOf value;
      bad = firstOf control (lib.replaceStrings [ "\t" ] [ "" ] (valueOf value));
    in
    if !lib.hasInfix "=" value then
      refusal "${toJSON value} has no =" "\"NAME=value\""
    else if match "[A-Za-z_][A-Za-z0-9_]*" name == null then
      refusal "${toJSON name} is not the name of a variable" "letters, digits and _, the first not a digit"
    else if bad != null then
      refusal "the value of ${name} holds '${escaped bad}'" "a value of one line"
    else
      null;

  # Shapes of tables: a function from path and value to problems.
  under = key: problem: lib.optional (problem != null) "${key}: ${problem}";
  join = path: name: if path == "" then name else "${path}.${name}";
  value = check: key: found: under key (check found);
  list = expected: check: identity: key: found:
    if !isList found then
      under key (mismatch found expected)
    else
      lib.concatLists (
        lib.imap0 (
          index: item:
          let
            wrong = check item;
            before = lib.filter (other: check other == null) (lib.take index found);
          in
          under "${key}[${toString index}]" (
            if wrong != null then wrong
            else if lib.elem (identity item) (map identity before) then "${toJSON (identity item)} occurs twice"
            else null
          )
        ) found
      );
  packages = list "a list of package names" (text "the name of a package" package) lib.id;

  # Fields: { name, check } and `missing`, what a lack of it is told as.
  key = name: expected: check: { inherit name check; missing = refusal "missing key ${toJSON name}" expected; };
  optional = name: check: { inherit name check; missing = null; };
  table = fields: path: found:
    if !isAttrs found then
      under path (mismatch found "a table")
    else
      let
        known = map (field: field.name) fields;
        within = lib.optionalString (path != "") " in [${path}]";
        strange = lib.filter (name: !lib.elem name known) (lib.attrNames found);
        meant = lib.filter (near: near != null) (map (name: nearest name known) strange);
        tell = name: lib.replaceStrings [ "unknown key ${toJSON name}" ] [ "unknown key ${toJSON name}${within}" ] (unknown "key" name known);
        lacking = lib.filter (field: !(found ? ${field.name}) && field.missing != null && !lib.elem field.name meant) fields;
        lack = field: if field ? table then "missing table [${join path field.name}]" else lib.replaceStrings [ "missing key ${toJSON field.name}" ] [ "missing key ${toJSON field.name}${within}" ] field.missing;
        present = lib.filter (field: found ? ${field.name}) fields;
      in
      lib.concatMap (field: field.check (join path field.name) found.${field.name}) present
      ++ map tell strange
      ++ map lack lacking;
  section = name: fields: { inherit name; check = table fields; missing = "table"; table = true; };

  size = name: unit: low: high: let limits = limited unit low high; in key name limits.expected (value limits.check);
  service = name: section name [ (key "guest" port.expected (value port.check)) (key "host" port.expected (value port.check)) ];
  profile = table [
    (key "description" "a line of text" (value (text "a line of text" oneLine)))
    (optional "hardened" (value truth))
    (optional "features" (list "a list of features" (text "the name of a feature" (among "feature" features)) lib.id))
    (optional "debian" packages)
  ];
  profiles = path: found:
    if !isAttrs found then
      under path (mismatch found "a table")
    else if found == { } then
      [ (refusal "no profile in [profiles]" "at least one, such as [profiles.headless]") ]
    else
      lib.concatLists (
        lib.mapAttrsToList (
          name: content:
          profile "${path}.${name}" content
          ++ lib.optional (match "[a-z][a-z0-9-]{0,31}" name == null) (
            refusal "${toJSON name} is not a profile name" "a lower-case letter, then letters a-z, digits or -, at most 32 characters"
          )
        ) found
      );
  known = if isAttrs (document.profiles or null) then lib.attrNames document.profiles else [ ];
  defaultProfile = value: if known == [ ] || lib.elem value known then null else unknown "profile" value known;
  formatList = path: found:
    if found == [ ] then
      under path (refusal "the list is empty" "a list of at least one format")
    else
      list "a list of at least one format" (text "the name of a format" (among "format" formats)) lib.id path found;
  schema =
    found:
    if !isInt found then mismatch found "1"
    else if found < 1 then refusal "there is no schema ${toString found}" "1"
    else null;

  root = table [
    (key "schema" "1" (value schema))
    (section "guest" [
      (key "user" "a login name" (value (text "a login name" userName)))
      (key "password" "a string" (value password))
      (key "hostname" "a host name" (value (text "a host name" hostName)))
      (optional "authorized_keys" (list "a list of public keys" (text "a public key" publicKey) lib.trim))
    ])
    (section "vm" [
      (size "memory" "MiB" 512 1048576)
      (size "cpus" "CPUs" 1 255)
      (size "disk" "MiB" 4096 16777216)
    ])
    (optional "compress" (table [
      (optional "qemu" (value compression))
      (optional "raw" (value rawCompression))
    ]))
    (section "services" (map service services))
    (optional "extra" (table [
      (optional "packages" packages)
      (optional "units" (list "a list of paths of unit files" (text "the path of a unit file" unitPath) baseNameOf))
      (optional "environment" (list "a list of \"NAME=value\"" (text "\"NAME=value\"" variable) variableOf))
    ]))
    { name = "profiles"; check = profiles; missing = "table"; table = true; }
    (section "debian" [
      (key "suite" "a suite such as trixie" (value (text "a suite such as trixie" suite)))
      (optional "date" (value (text "lock or commit" (among "date" dates))))
      (optional "packages" packages)
      (optional "features" (table (map (name: optional name packages) features)))
    ])
    # Rust alone uses these.
    (optional "nixos" (table [
      (optional "builders" (list "a list of remote builders" (text "a remote builder" builder) lib.id))
      (optional "substituters" (list "a list of URLs" (text "a URL" substituter) lib.id))
      (optional "max-jobs" (value (limited "jobs" 0 1024).check))
      (optional "offline" (value truth))
      (optional "rebuild" (value truth))
    ]))
    (section "defaults" [
      (key "profile" "the name of a profile" (value (text "the name of a profile" defaultProfile)))
      (key "formats" "a list of at least one format" formatList)
      (optional "base" (value (text "nixos or debian" (among "base" bases))))
    ])
  ];

  # Two services on one port, in the guest or on the host.
  duplicates =
    side:
    let
      portOf = name: let ports = document.services.${name} or null; in if isAttrs ports then ports.${side} or null else null;
      valid = lib.filter (name: isInt (portOf name) && port.check (portOf name) == null) services;
      problem =
        index: name:
        let
          first = lib.findFirst (other: portOf other == portOf name) null (lib.take index valid);
        in
        lib.optional (first != null) "services.${name}.${side}: port ${toString (portOf name)} is taken by services.${first}.${side}; expected a port of its own";
    in
    lib.optionals (isAttrs (document.services or null)) (lib.concatLists (lib.imap0 problem valid));

  newer = isInt (document.schema or null) && document.schema > 1;
in
{
  # The rest of a file for a newer tool cannot be judged.
  problems =
    if newer then
      [ "schema: ${refusal "${toString document.schema} is newer than this tool knows" "1, or a newer checkout of the tool"}" ]
    else
      root "" document ++ duplicates "guest" ++ duplicates "host";

  # With every key that may be left out.
  settings = {
    inherit (document) vm services defaults;
    guest = { authorized_keys = [ ]; } // document.guest;
    extra = {
      packages = document.extra.packages or [ ];
      units = document.extra.units or [ ];
      environment = lib.listToAttrs (
        map (entry: lib.nameValuePair (variableOf entry) (valueOf entry)) (document.extra.environment or [ ])
      );
    };
    profiles = lib.mapAttrs (
      _: profile:
      { hardened = false; features = [ ]; } // removeAttrs profile [ "debian" ]
    ) document.profiles;
    formatNames = formats;
    featureNames = features;
  };
}
