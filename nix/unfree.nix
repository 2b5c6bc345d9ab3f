# Unfree packages by name; any other unfree package fails the evaluation.
{ lib }:
package:
builtins.elem (lib.getName package) [
  # Claude Code and its native program; see "Licence" in README.md.
  "rave-npm-claude-code"
  "rave-npm-claude-code-linux-x64"
  # Valve's runtime, in steam-run of the profiles with a desktop and Docker.
  "steam-run"
  "steam-unwrapped"
]
