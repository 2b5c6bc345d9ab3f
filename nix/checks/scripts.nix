# The checks of the smoke suite as scripts for NixOS's test driver, by their names in crates/smoke/src/registry.rs. A check
# without a script fails the evaluation. `machine` runs as root with pipefail, so nothing may close a pipe early; `user(...)`
# runs in a login shell of the agent.
{ lib, config, pins }:
let
  cfg = config.rave;
  url = name: path: "http://127.0.0.1:${toString cfg.ports.${name}}${path}";
  get = name: path: "curl --silent --fail --show-error ${url name path}";
  has = name: path: text: ''machine.wait_until_succeeds("${get name path} | grep '${text}' >/dev/null", 300)'';
  says = command: text: ''assert "${text}" in user("${command}"), "${command}"'';
  locked = command: package: ''
    words = user("${command} --version").replace(",", " ").split()
    assert "${pins.${package}}" in [word.lstrip("v") for word in words], words
  '';
  # A machine that installs Claude Code itself may have no network here.
  unlessPending =
    check:
    if cfg.claude == "baked" then check else ''print("not run: Claude Code is installed when the machine has a network")'';
  ssh = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p ${toString cfg.ports.ssh}";
  byKey = "${ssh} -o BatchMode=yes -i /root/key";
  byPassword = "sshpass -p ${lib.escapeShellArg (toString cfg.password)} ${ssh} -o PubkeyAuthentication=no";
  healthy = ''machine.wait_until_succeeds("${get "gateway" "/healthz"}", 600)'';
in
{
  kanban-answers = has "kanban" "/" "<html";
  kanban-api = has "kanban" "/api/health" "success.:true";
  router-ui = has "router" "/ui/" "<html";
  router-health = has "router" "/health" "status.:.ok";
  gateway-root = ''
    machine.wait_until_succeeds("test \"$(${get "gateway" "/"})\" = \"$(${get "kanban" "/"})\"", 300)
  '';
  gateway-router-ui = ''
    ${has "gateway" "/ccr-ui/" "/ccr-ui/rave.js"}
    ${has "gateway" "/ccr-ui/rave.js" "/ccr-ui"}
    ${has "gateway" "/ccr-ui/api/config" "Providers"}
  '';
  gateway-health = healthy;
  gateway-events = ''
    machine.succeed("{ curl --silent --include --max-time 5 ${url "gateway" "/api/events"} || true; } | grep --ignore-case text/event-stream")
  '';

  ssh-key = ''
    assert machine.succeed("${byKey} ${cfg.user}@127.0.0.1 id -un").strip() == "${cfg.user}"
  '';
  ssh-password =
    if cfg.hardened then
      ''machine.fail("${byPassword} ${cfg.user}@127.0.0.1 true")''
    else
      ''
        machine.succeed("${byPassword} ${cfg.user}@127.0.0.1 true")
        machine.fail("sshpass -p wrong ${ssh} -o PubkeyAuthentication=no ${cfg.user}@127.0.0.1 true")
      '';
  ssh-root-refused = ''
    machine.fail("${byKey} root@127.0.0.1 true")
    machine.fail("${byPassword} root@127.0.0.1 true")
  '';

  unit-chain = ''
    def at(unit, what):
        return int(machine.succeed(f"systemctl show --value --property {what}TimestampMonotonic {unit}").strip())

    chain = ["install-claude-tools", "setup-agent-environment"]
    for unit in chain + ["vibe-kanban", "claude-code-router", "nginx"]:
        machine.succeed(f"systemctl is-active {unit}")
    assert at(chain[1], "InactiveExit") >= at(chain[0], "ActiveEnter")
    for unit in ["vibe-kanban", "claude-code-router", "nginx"]:
        assert at(unit, "InactiveExit") >= at(chain[1], "ActiveEnter"), unit
  '';
  no-failed-units = ''
    machine.wait_until_succeeds("case $(systemctl is-system-running) in starting | initializing) false ;; esac", 600)
    failed = machine.succeed("systemctl list-units --failed --plain --no-legend").strip()
    assert failed == "", failed
  '';
  sudo = ''assert user("sudo -n id -u").strip() == "0"'';
  root-grown = ''
    size = int(machine.succeed("df --block-size=1M --output=size / | tail -n 1").strip())
    assert size >= 0.9 * ${toString config.virtualisation.diskSize}, size
  '';
  host-keys-fresh = ''
    booted, *keys = machine.succeed(
        "awk '$1 == \"btime\" { print $2 }' /proc/stat; stat --format=%Y /etc/ssh/ssh_host_*_key"
    ).split()
    assert len(keys) == 2 and all(int(key) >= int(booted) - 2 for key in keys), keys
  '';

  certificates = ''
    machine.copy_from_host("${../../crates/smoke/src/checks/certificates.py}", "/tmp/certificates.py")
    user("python3 /tmp/certificates.py")
  '';

  tool-node = ''assert int(user("node --version").strip().lstrip("v").split(".")[0]) >= 20'';
  tool-npm = locked "npm" "npm";
  tool-pnpm = locked "pnpm" "pnpm";
  tool-yarn = locked "yarn" "yarn";
  tool-python3 = says "python3 --version" "Python 3.";
  tool-pip = says "pip --version" "pip ";
  tool-virtualenv = says "virtualenv --version" "virtualenv ";
  tool-rustc = ''
    assert "linked" in user("cd \"$(mktemp -d)\" && echo 'fn main(){println!(\"linked\")}' > a.rs && rustc a.rs && ./a")
  '';
  tool-cargo = says "cargo --version" "cargo 1.";
  tool-git = says "git --version" "git version ";
  tool-curl = says "curl --version" "curl ";
  tool-wget = says "wget --version" "GNU Wget ";
  tool-vim = says "vim --version" "VIM - Vi IMproved";
  tool-sandbox = says "bwrap --ro-bind / / --dev /dev --proc /proc --unshare-pid --unshare-net socat -u SYSTEM:'echo inside' STDOUT" "inside";
  kanban-agent = unlessPending ''
    machine.copy_from_host("${../../crates/smoke/src/checks/kanban_agent.py}", "/tmp/kanban_agent.py")
    assert user("python3 /tmp/kanban_agent.py").strip() == user("readlink -f $(command -v claude)").strip()
  '';
  tool-claude = unlessPending (locked "claude" "@anthropic-ai/claude-code");
  tool-ccr = locked "ccr" "@musistudio/claude-code-router";

  sound = ''
    session("systemctl --user is-active pipewire wireplumber && test -S \"$XDG_RUNTIME_DIR/pulse/native\"")
  '';
  docker = ''
    said = user(
        "tar --create --directory /usr/lib/rave rave-guest | docker import - rave-smoke >/dev/null && "
        "docker run --rm --network none rave-smoke /rave-guest --version"
    )
    assert said.startswith("rave-guest "), said
  '';
  docker-compose = ''user("docker compose version || docker-compose version")'';
  build-tools = ''
    said = user(
        "cd \"$(mktemp -d)\" && echo 'int main() {}' > a.cc && printf 'a: a.cc\\n\\tg++ -o a a.cc\\n' > Makefile && "
        "make --silent && ./a && gcc --version"
    )
    assert "gcc" in said, said
  '';
  virtual-screen = says "xvfb-run --auto-servernum xdpyinfo" "pixels";
  vnc = ''
    machine.wait_until_succeeds("timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/5900 && head --bytes 12 <&3' | grep '^RFB 003'", 300)
    places = machine.succeed("ss --listening --tcp --numeric --no-header 'sport = :5900' | awk '{ print $4 }'").split()
    assert places and all(place.startswith(("127.0.0.1:", "[::1]:")) for place in places), places
  '';
  playwright = ''
    said = user(
        "cd \"$(mktemp -d)\" && node -e \"require('playwright').chromium.launch().then(async (browser) => "
        "{ console.log('driven', browser.version()); await browser.close(); })\""
    )
    assert said.startswith("driven "), said
  '';
  everyday-tools = ''
    assert "hello" in user(
        "cd \"$(mktemp -d)\" && echo hello > a && zip --quiet a.zip a && unzip -p a.zip a && "
        "tree --version && htop --version && nano --version"
    )
  '';
  cloud = ''
    machine.succeed("command -v vmtoolsd && qemu-ga --version")
    said = machine.succeed("test -e /run/cloud-init/disabled && echo disabled || cloud-init status --wait").strip()
    assert said.endswith(("disabled", "status: done")), said
  '';

  desktop-session = ''
    machine.wait_until_succeeds("pgrep -u ${cfg.user} -f xfce4-session && pgrep -u ${cfg.user} -f xfce4-panel", 600)
    machine.wait_until_succeeds("loginctl --no-legend list-sessions | grep '${cfg.user}.*seat0'", 300)
  '';
  desktop-painted = ''
    machine.wait_until_succeeds("DISPLAY=:0 XAUTHORITY=$(echo /run/lightdm/${cfg.user}/xauthority) xwininfo -root -tree | grep xfce4-panel", 300)
    machine.screenshot("desktop")
  '';
  desktop-size = ''session("xwininfo -root -stats | grep -- '-geometry 1280x800'")'';
  desktop-calm = ''
    windows = session("for id in $(xprop -root _NET_CLIENT_LIST | grep -o '0x[0-9a-f]*'); do xprop -id $id _NET_WM_WINDOW_TYPE; done")
    assert "DIALOG" not in windows, windows
    machine.fail("journalctl --boot --quiet --output=cat --grep 'segfault at|dumped core' | grep .")
  '';
  desktop-no-locker = ''
    assert "timeout:  0" in session("xset q")
    machine.fail("pgrep -f 'light-[l]ocker|xfce4-[s]creensaver|xfce4-[p]ower-manager'")
  '';
  desktop-network = ''
    machine.wait_until_succeeds("pgrep -u ${cfg.user} -f nm-applet", 300)
    machine.wait_until_succeeds("nmcli --terse --fields TYPE,STATE device | grep '^ethernet:connected'", 300)
  '';
  desktop-launchers = ''
    for entry in machine.succeed("ls /home/${cfg.user}/Desktop/*.desktop").split():
        machine.succeed(f"curl --silent --fail --location --output /dev/null $(sed -n 's/^Exec=xdg-open //p' {entry})")
  '';
  desktop-browser = ''
    session("setsid --fork x-www-browser >/dev/null 2>&1 </dev/null")
    wait_for_session("for id in $(xprop -root _NET_CLIENT_LIST | grep -o '0x[0-9a-f]*'); do xprop -id $id _NET_WM_NAME; done | grep 'Chromium'")
  '';
  browser-sandbox = ''
    machine.succeed("for pid in $(pgrep -u ${cfg.user} -f -- '[-]-type=renderer'); do grep '^Seccomp:.2' /proc/$pid/status; done | grep .")
    machine.fail("pgrep -f -- '[-]-no-sandbox'")
  '';

  stopped-service-told = ''
    machine.succeed("systemctl stop vibe-kanban")
    machine.wait_until_succeeds("test $(curl --silent --output /dev/null --write-out '%{http_code}' ${url "gateway" "/healthz"}) = 503", 60)
    machine.wait_until_succeeds("curl --silent ${url "gateway" "/"} | grep 'journalctl -u vibe-kanban'", 60)
    machine.succeed("systemctl start vibe-kanban")
    ${healthy}
  '';
  reboot = ''
    keys = machine.succeed("cat /etc/ssh/ssh_host_*_key.pub")
    machine.reboot()
    ${healthy}
    assert machine.succeed("cat /etc/ssh/ssh_host_*_key.pub") == keys
  '';
  clean-shutdown = ''machine.shutdown()'';
}
