# RAVE's own packages: pkgs.rave.
{ pkgs }:
pkgs.lib.makeScope pkgs.newScope (self: {
  # The newest version without known vulnerabilities in nixpkgs; docs/adr/007 explains why not 20.
  nodejs =
    let
      secure = name: pkgs ? ${name} && (pkgs.${name}.meta.knownVulnerabilities or [ ]) == [ ];
    in
    pkgs.${pkgs.lib.findFirst secure "nodejs" [ "nodejs_26" "nodejs_24" "nodejs_22" ]};
  source = self.callPackage ./source.nix { };
  rave-guest = self.callPackage ./rave-guest.nix { };
  rave = self.callPackage ./rave.nix { };
  # The old name, until the next release.
  xtask = self.rave;
  tools = self.callPackage ./tools.nix { };
  pages = self.callPackage ./pages.nix { values = { }; };
  launchers = self.callPackage ./launchers.nix { values = { }; };
  playwright-browsers = self.callPackage ./playwright-browsers.nix { };
})
