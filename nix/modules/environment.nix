# The variables of rave.toml and RAVE's own, for each way to start a program in the guest; see the table in
# crates/guest/src/assets/environment.rs.
{ config, lib, pkgs, ... }:
let
  cfg = config.rave;
  # EnvironmentFile=, systemd.exec(5): between double quotes, a backslash escapes.
  quoted = value: "\"${builtins.replaceStrings [ "\\" "\"" "`" ] [ "\\\\" "\\\"" "\\`" ] value}\"";
  facts = (lib.importJSON ../facts.json).guest;
  inherit (import ../lib/values.nix { inherit config lib pkgs; }) values;
in
{
  options.rave.variables = lib.mkOption {
    type = lib.types.attrsOf lib.types.singleLineStr;
    readOnly = true;
    internal = true;
    description = "RAVE's own variables and the user's, which take precedence.";
  };

  config = lib.mkIf cfg.enable {
    rave.variables = {
      # The tools are pinned; Claude Code would update itself in the background.
      DISABLE_AUTOUPDATER = "1";
    }
    // lib.optionalAttrs (lib.elem "playwright" cfg.features) {
      PLAYWRIGHT_BROWSERS_PATH = "${cfg.packages.playwright-browsers}";
      PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD = "1";
      NODE_PATH = "${values.tools}/node_modules";
    }
    // lib.optionalAttrs (cfg.certificates != [ ]) (
      {
        NODE_EXTRA_CA_CERTS = facts.certificates;
      }
      // lib.genAttrs [ "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" ] (_: facts.certificateStore)
    )
    // cfg.environment;

    environment = {
      # PATH by PAM, so that `ssh HOST COMMAND` has it too, whatever the shell reads.
      sessionVariables.PATH = [ "$HOME/.local/bin" ];
      # Not session variables: NixOS writes those to scripts unquoted. What a system sets itself takes precedence.
      extraInit = lib.concatStrings (
        lib.mapAttrsToList (name: value: "export ${name}=${lib.escapeShellArg value}\n") (
          removeAttrs cfg.variables (
            lib.attrNames (config.environment.variables // config.environment.sessionVariables)
          )
        )
      );
      localBinInPath = true;
      etc = {
        "rave/environment".text =
          "# RAVE: for its services. Made from rave.toml.\n"
          + lib.concatStrings (lib.mapAttrsToList (name: value: "${name}=${quoted value}\n") cfg.variables);
        "environment.d/90-rave.conf".text =
          "# RAVE: for the user's own units. Made from rave.toml.\n"
          + lib.concatStrings (
            lib.mapAttrsToList (name: value: "${name}=${lib.replaceStrings [ "$" ] [ "\\$" ] (quoted value)}\n") cfg.variables
          );
      };
    };
  };
}
