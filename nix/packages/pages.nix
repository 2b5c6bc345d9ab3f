# The gateway's static pages, shown while a service is down.
{ lib, linkFarm, writeText, values }:
let
  assets = import ../lib/assets.nix { inherit lib; };
  inherit ((lib.importJSON ../facts.json).guest) services;
  page = name: title: unit: {
    name = "${name}.html";
    path = writeText "${name}.html" (assets.fill (values // { inherit title unit; }) "page.html");
  };
  pageOf =
    name:
    let
      service = lib.findFirst (service: service.name == name) null services;
    in
    page name service.title service.unit;
in
linkFarm "rave-pages" [
  (pageOf "kanban")
  (pageOf "router")
  (page "health" "The health report" "rave-health.service")
  {
    name = "ccr-ui.js";
    path = assets.path "ccr-ui.js";
  }
]
