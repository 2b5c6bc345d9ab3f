# The settings of crates/spec/tests/bad.toml, which Rust refuses: Nix must refuse all of them too, in its own words. A text
# that builtins.fromTOML cannot read aborts the evaluation: `unreadable` names those, and ci/eval-flake tries each.
{ lib }:
let
  evaluate = import ../lib/evaluate.nix { inherit lib; };
  good = builtins.readFile ../../crates/spec/tests/good.toml;
  cases = builtins.fromTOML (builtins.readFile ../../crates/spec/tests/bad.toml);
  # good.toml after the case's edits, or the case's own text.
  edited = lib.foldl' (
    text: edit: builtins.replaceStrings [ (lib.head edit) ] [ (lib.last edit) ] text
  ) good;
  texts = lib.mapAttrs (_: case: case.text or (edited case.edits)) cases;

  unreadable = [
    "cpus-date"
    "duplicate-key"
    "duplicate-table"
    "inline-table-of-toml-1-1"
    "password-nul"
    "port-beyond-128-bits"
    "syntax-bare-word"
    "syntax-no-value"
    "syntax-open-list"
    "syntax-open-string"
    "syntax-two-at-once"
  ];
  readable = removeAttrs texts unreadable;

  layer = file: document: { inherit file document; };
  of = text: evaluate [ (layer "rave.toml" (builtins.fromTOML text)) ];
  isAccepted = text: (builtins.tryEval (builtins.seq (of text) true)).success;

  # good.toml below a profile's file and rave.local.toml.
  layered = evaluate [
    (layer "rave.toml" (builtins.fromTOML good))
    (layer "profiles/headless.toml" { profiles.headless.description = "from its file"; })
    (layer "rave.local.toml" {
      vm.memory = 2048;
      defaults.formats = [ "raw" ];
      sandboxes.require-fence = true;
      network = {
        mode = "learn";
        allow = [ "*.example.org" "[::1]:80/tcp" "10.0.0.0/8,private" ];
      };
    })
  ];
in
{
  inherit texts unreadable;
  evaluate = name: of texts.${name};
  compared = lib.length (lib.attrNames readable);
  accepted = lib.attrNames (lib.filterAttrs (_: isAccepted) readable);
  goodIsAccepted = isAccepted good;
  layersAreMerged =
    layered.vm == (of good).vm // { memory = 2048; }
    && layered.defaults.formats == [ "raw" ]
    && layered.sandboxes.require-fence
    && layered.network.mode == "learn"
    && layered.profiles.headless.description == "from its file";
}
