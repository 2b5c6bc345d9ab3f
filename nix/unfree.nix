# What is not free software, by name; anything else that is not stops the evaluation.
{ lib }:
package:
builtins.elem (lib.getName package) [
  # The agent itself, and its program for this processor; see "Licence" in README.md.
  "rave-npm-claude-code"
  "rave-npm-claude-code-linux-x64"
  # Valve's runtime, in steam-run of the profiles with a desktop and Docker.
  "steam-run"
  "steam-unwrapped"
]
