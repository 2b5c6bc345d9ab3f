# One machine with the checks that apply to it, run by NixOS's test driver.
{ lib, pkgs, module }:
{ name, profile, hardened ? null }:
let
  # VM tests have no live session.
  checks = lib.filter (check: check.place != "live") (lib.importJSON ../facts.json).checks;
  keys = import (pkgs.path + "/nixos/tests/ssh-keys.nix") pkgs;
  pins = (lib.importJSON ../../crates/guest/assets/npm/package.json).dependencies;
in
pkgs.testers.runNixOSTest (
  { nodes, ... }:
  let
    inherit (nodes.machine) rave;
    scripts = import ./scripts.nix {
      inherit lib pins;
      config = nodes.machine;
    };
    certified = lib.optional (rave.certificates != [ ]) "certificates";
    applies = check: check.feature == null || lib.elem check.feature (rave.features ++ certified);
    script =
      check:
      scripts.${check.name}
        or (throw "nix/checks/scripts.nix lacks the check ${check.name} of crates/smoke/src/registry.rs");
    subtest = check: ''
      with subtest("${check.name}"):
      ${lib.concatMapStrings (line: "    ${line}\n") (lib.splitString "\n" (lib.trim (script check)))}
    '';
  in
  {
    name = "rave-smoke-${name}";
    # Some profiles do not use all helpers.
    skipLint = true;
    skipTypeCheck = true;

    nodes.machine =
      { pkgs, ... }:
      {
        imports = [ module ];
        rave = {
          enable = true;
          inherit profile;
          authorizedKeys = [ keys.snakeOilPublicKey ];
        }
        // lib.optionalAttrs (hardened != null) { inherit hardened; };
        virtualisation = {
          memorySize = 4096;
          cores = 2;
          diskSize = 8192;
          resolution = {
            x = 1280;
            y = 800;
          };
        };
        environment.systemPackages = [ pkgs.sshpass ];
        # The driver sets its own password for root, from a file.
        users.users.root.hashedPassword = lib.mkForce null;
      };

    testScript = ''
      import shlex

      def user(command):
          return machine.succeed(f"su - ${rave.user} -c {shlex.quote(command)}")

      # The environment of the desktop session.
      SESSION = "export XDG_RUNTIME_DIR=/run/user/1000 DISPLAY=:0 XAUTHORITY=/run/lightdm/${rave.user}/xauthority; "

      def session(command):
          return user(SESSION + command)

      def wait_for_session(command):
          machine.wait_until_succeeds(f"su - ${rave.user} -c {shlex.quote(SESSION + command)}", 300)

      start_all()
      machine.wait_for_unit("multi-user.target")
      machine.succeed("install --mode 600 ${keys.snakeOilPrivateKey} /root/key")
      ${lib.concatMapStrings subtest (lib.filter applies checks)}
    '';
  }
)
