# Option types for the values of rave.toml; names and limits come from nix/facts.json. `cargo xtask config` refuses
# the same values and also names the line.
{ lib }:
let
  inherit (lib) types;
  facts = (lib.importJSON ../facts.json).raveToml;

  matches = pattern: value: builtins.match pattern value != null;
  hasControl = matches "(.|\n)*[[:cntrl:]](.|\n)*";
  isLine = value: lib.trim value != "" && !hasControl value;
  narrow = type: description: check: types.addCheck type check // { inherit description; };
  text = narrow types.str;
  # Like `text`, but the message does not repeat the value.
  secret =
    description: check:
    lib.mkOptionType {
      name = "secret";
      inherit description;
      descriptionClass = "noun";
      merge =
        loc: definitions:
        let
          value = lib.mergeOneOption loc definitions;
        in
        if lib.isString value && check value then value else throw "${lib.showOption loc} is not a ${description}";
    }
    // {
      accepts = value: lib.isString value && check value;
    };
  # A path of a file below the folder of rave.toml.
  isBelow =
    path:
    let
      parts = lib.splitString "/" path;
    in
    !lib.hasPrefix "/" path && !lib.elem ".." parts && !lib.elem "." parts && lib.last parts != "" && !hasControl path;
  endsIn =
    suffixes: path:
    lib.any (suffix: lib.hasSuffix ".${suffix}" path && baseNameOf path != ".${suffix}") suffixes;
  # The URL of a store. A password in it would be on nix's command line.
  isUrl =
    schemes: url:
    matches "(${lib.concatStringsSep "|" schemes})://.+" url && !matches "[^:/]*://[^/?#]*:[^/?#]*@.*" url;
in
rec {
  port = types.ints.between 1 65535 // { description = "TCP port from 1 to 65535"; };
  limited = { lowest, highest }: types.ints.between lowest highest;

  # A list without duplicates; `key` says what must differ.
  distinct =
    key: element:
    narrow (types.listOf element) "list of ${element.description or element.name}, none twice" (
      list: !lib.all (element.accepts or element.check) list || lib.allUnique (map key list)
    );
  distinctNames = distinct lib.id;

  line = text "line of text" isLine;
  userName = text "user name of at most 32 of a-z, 0-9, - and _ that Debian does not use itself" (
    name:
    matches "[a-z][a-z0-9_-]{0,31}" name
    && !lib.elem name facts.reservedUsers
    && !lib.hasPrefix "systemd-" name
  );
  password = secret "password without a colon or a control character" (matches "[^:[:cntrl:]]+");
  hostName = text "host name" (
    name:
    let
      labels = lib.splitString "." name;
    in
    lib.stringLength name <= 64
    && lib.all (matches "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?") labels
    # A number at the end would be read as an IPv4 address.
    && !matches "[0-9]*" (lib.last labels)
  );
  publicKey = text "public SSH key" (
    key:
    let
      words = lib.splitString " " (lib.trim key);
    in
    isLine (lib.trim key)
    && lib.elem (lib.head words) facts.keyKinds
    && matches "[A-Za-z0-9+/=]{68,}" (lib.concatStrings (lib.take 1 (lib.tail words)))
  );
  profileName = text "profile name of at most 32 of a-z, 0-9 and -" (matches "[a-z][a-z0-9-]{0,31}");
  packageName = text "package name" (matches "[a-z0-9][a-z0-9+.-]+");
  licenceName = text "identifier of a licence" (matches "[A-Za-z0-9.+-]{1,100}");
  suite = text "suite such as trixie" (matches "[a-z][a-z0-9-]*");

  certificatePath = text "path of a file of certificates below the folder of rave.toml" (
    path: isBelow path && endsIn facts.certificateSuffixes path
  );
  unitPath = text "path of a systemd unit below the folder of rave.toml" (
    path:
    isBelow path
    && matches "[A-Za-z0-9:_.@\\-]{1,255}" (lib.last (lib.splitString "/" path))
    && endsIn facts.unitSuffixes path
  );
  variable = text "\"NAME=value\" of one line" (
    entry: matches "[A-Za-z_][A-Za-z0-9_]*=.*" entry && !hasControl (lib.replaceStrings [ "\t" ] [ "" ] entry)
  );
  variableName = entry: lib.head (lib.splitString "=" entry);

  # A line of a machines file, or `@` and the path of one.
  builder = secret "remote builder such as \"ssh-ng://me@builder x86_64-linux\", without a password" (
    line:
    let
      words = lib.filter (word: word != "") (lib.splitString " " line);
      isFile = matches "@/.+" (lib.head words) && lib.length words == 1;
      isMachine = isUrl facts.builderSchemes (lib.head words) && lib.length words <= 1 + facts.builderFields;
    in
    words != [ ] && (isFile || isMachine) && !hasControl line && !lib.hasInfix ";" line
  );
  mirror = secret "URL of a mirror, without a password" (
    url: isUrl facts.mirrorSchemes url && !hasControl url && !matches ".*[] []+.*" url
  );
  # Text that may be a rule; the network interprets it.
  networkRule = text "rule of the network such as *.example.org" (
    rule: lib.stringLength rule <= facts.networkRuleMax && matches "[][A-Za-z0-9._*:/,-]+" rule
  );
  substituter = secret "URL of a substituter, without a password" (
    url: isUrl facts.substituterSchemes url && !hasControl url && !lib.hasInfix " " url
  );
}
