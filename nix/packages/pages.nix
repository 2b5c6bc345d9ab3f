# The gateway's static pages, which it shows while a service is down.
{ lib, linkFarm, writeText, values }:
let
  assets = import ../lib/assets.nix { inherit lib; };
  page = name: title: unit: {
    name = "${name}.html";
    path = writeText "${name}.html" (assets.fill (values // { inherit title unit; }) "page.html");
  };
in
linkFarm "rave-pages" [
  (page "kanban" "Vibe Kanban" "vibe-kanban.service")
  (page "router" "Claude Code Router" "claude-code-router.service")
  (page "health" "The health report" "rave-health.service")
  {
    name = "ccr-ui.js";
    path = assets.path "ccr-ui.js";
  }
]
