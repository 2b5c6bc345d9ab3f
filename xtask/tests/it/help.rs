//! What `--help` says. `UPDATE_EXPECT=1` rewrites these.

use expect_test::expect;

use crate::checkout::{shows, xtask};

#[test]
fn without_arguments_the_first_screen_shows_the_main_commands_with_examples() {
    let ran = xtask("", &[]);
    let first_screen = ran.stdout.lines().take(24).collect::<Vec<_>>().join("\n");
    for example in ["cargo xtask image --format qemu", "cargo xtask run --ssh", "cargo xtask smoke --yes"] {
        assert!(first_screen.contains(example), "{first_screen}");
    }
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 100), "{}", ran.stdout);
    shows(
        &ran,
        0,
        &expect![[r#"
            Build, run and smoke-test virtual machines for AI agents

            Usage: cargo xtask [OPTIONS] [COMMAND]

            Commands:
              image        Build a bootable image          cargo xtask image --format qemu
              run          Boot it and show its services   cargo xtask run --ssh
              smoke        Build it, boot it, check it     cargo xtask smoke --yes
              convert      Turn a disk of any format into the other formats
              inspect      Say what an image of any format is
              update       Renew debian.lock and the npm lock, and say what changed
              doctor       Show what this host has and lacks; --yes installs it
              config       Print the effective configuration and where each value comes from
              completions  Print a completion script for a shell
              test         Run every test, or only the named steps
              bench        Measure builds and boots against their floors
              ci           What the workflows of continuous integration ask for

            Options:
              -h, --help     Print help
              -V, --version  Print version

            Everywhere:
              -y, --yes           Install what the host lacks and ask nothing
              -q, --quiet         Say only what went wrong
              -v, --verbose       Show the lines that the programs underneath print
                  --color <WHEN>  Colours: auto, always or never [default: auto]

            Exit codes: 0 ok, 1 a check failed, 2 wrong usage or bad rave.toml, 3 the host is not ready, 4 a
            build failed, 130 interrupted.
            What a command offers: cargo xtask COMMAND --help
        "#]],
    );
}

#[test]
fn image_help() {
    shows(
        &xtask("", &["image", "--help"]),
        0,
        &expect![[r#"
            Build a bootable image          cargo xtask image --format qemu

            Usage: cargo xtask image [OPTIONS]

            Options:
                  --format <FORMAT>     What to build; may be repeated or a comma list [default: rave.toml's
                                        defaults.formats] [possible values: qemu, virtualbox, vmware, raw, iso,
                                        all]
                  --profile <NAME>      A profile of rave.toml [default: rave.toml's defaults.profile]
                  --base <BASE>         What builds the disk [default: rave.toml's, else nixos where nix works,
                                        else debian] [possible values: nixos, debian]
                  --out <DIR>           Folder of the artifacts and their manifest.json [default:
                                        out/BASE-PROFILE]
                  --compress <HOW>      Of the qcow2: none, zlib or zstd; zstd also makes a .img.zst of the raw
                                        disk [default: rave.toml's compress] [possible values: none, zlib, zstd]
                  --json                Print the manifest on stdout when done
                  --refresh             Redo every stage, even where nothing changed
                  --check-reproducible  Build twice in different environments and compare byte for byte
                  --frozen              Fail where a package of debian.lock cannot be had, instead of taking the
                                        archive's
                  --locked <MANIFEST>   Rebuild what this manifest.json describes, and compare [default of
                                        --out: out/BASE-PROFILE-locked]
                  --offline             Never touch the network: build of what the cache has, or nix's store
              -h, --help                Print help

            With the nixos base [default: rave.toml's nixos, then nix.conf's]:
                  --builder <LINE>     A machine that builds for this one, as a line of nix's machines file; may
                                       be repeated
                  --substituter <URL>  A cache besides those of nix.conf; may be repeated
                  --max-jobs <N>       How many builds run side by side here; 0 leaves all to the builders
                  --rebuild            Build what is there once more, and fail where it comes out otherwise

            Everywhere:
              -y, --yes           Install what the host lacks and ask nothing
              -q, --quiet         Say only what went wrong
              -v, --verbose       Show the lines that the programs underneath print
                  --color <WHEN>  Colours: auto, always or never [default: auto]
        "#]],
    );
}

#[test]
fn run_help() {
    shows(
        &xtask("", &["run", "--help"]),
        0,
        &expect![[r#"
            Boot it and show its services   cargo xtask run --ssh

            Usage: cargo xtask run [OPTIONS]

            Options:
                  --format <FORMAT>        Which artifact to boot [default: the first of rave.toml's
                                           defaults.formats] [possible values: qemu, virtualbox, vmware, raw,
                                           iso]
                  --profile <NAME>         A profile of rave.toml [default: rave.toml's defaults.profile]
                  --base <BASE>            What builds the disk [default: rave.toml's, else nixos where nix
                                           works, else debian] [possible values: nixos, debian]
                  --out <DIR>              Folder of the artifacts and their manifest.json [default:
                                           out/BASE-PROFILE]
                  --headless               No window; the serial console goes to a file (default without a
                                           display)
                  --gui [<DISPLAY>]        Show the screen: in a window, or served on loopback; `auto` is gtk,
                                           else sdl, else vnc [possible values: auto, gtk, sdl, vnc, spice]
                  --memory <MIB>           Memory in MiB [default: rave.toml's vm.memory]
                  --cpus <N>               Virtual CPUs [default: rave.toml's vm.cpus]
                  --port <NAME=PORT|auto>  Host port of a service, or `auto` for a free one; may be repeated
                  --detach                 Leave the VM running in the background
                  --keep                   Keep what the guest writes to its disk for the next run
                  --no-build               Boot the artifact that is there, even if it is older than the
                                           settings
                  --ssh                    Open a shell in the guest when it is ready
                  --exec <CMD>             Run a command in the guest and exit with its code
                  --accel <NAME>           Force an accelerator [default: kvm where a guest really runs under
                                           it, else tcg] [possible values: kvm, tcg]
                  --firmware <NAME>        Firmware to boot with [default: bios] [possible values: bios, uefi]
                  --offline                Never touch the network: build of what the cache has, or nix's store
              -h, --help                   Print help

            With the nixos base [default: rave.toml's nixos, then nix.conf's]:
                  --builder <LINE>     A machine that builds for this one, as a line of nix's machines file; may
                                       be repeated
                  --substituter <URL>  A cache besides those of nix.conf; may be repeated
                  --max-jobs <N>       How many builds run side by side here; 0 leaves all to the builders
                  --rebuild            Build what is there once more, and fail where it comes out otherwise

            Everywhere:
              -y, --yes           Install what the host lacks and ask nothing
              -q, --quiet         Say only what went wrong
              -v, --verbose       Show the lines that the programs underneath print
                  --color <WHEN>  Colours: auto, always or never [default: auto]
        "#]],
    );
}

#[test]
fn smoke_help() {
    shows(
        &xtask("", &["smoke", "--help"]),
        0,
        &expect![[r#"
            Build it, boot it, check it     cargo xtask smoke --yes

            Usage: cargo xtask smoke [OPTIONS]

            Options:
                  --format <FORMAT>   Which artifacts to check; may be repeated or a comma list [default:
                                      rave.toml's defaults.formats] [possible values: qemu, virtualbox, vmware,
                                      raw, iso, all]
                  --profile <NAME>    A profile of rave.toml [default: rave.toml's defaults.profile]
                  --base <BASE>       What builds the disk [default: rave.toml's, else nixos where nix works,
                                      else debian] [possible values: nixos, debian]
                  --out <DIR>         Folder of the artifacts and their manifest.json [default:
                                      out/BASE-PROFILE]
                  --rows <ROW>        Which rows of the matrix to boot: `first` of each format, `all`, or names;
                                      may be a comma list [default: first, and all with --format all]
                  --jobs <N>          How many machines run side by side [default: as many as memory and
                                      processors allow]
                  --list              List the checks and run none
                  --list-rows         List the rows of the matrix and boot none
                  --only <CHECK>      Run only this check; may be repeated or a comma list
                  --skip <CHECK>      Leave this check out; may be repeated or a comma list
                  --fixed-ports       Use the host ports of rave.toml or fail, instead of free ones where those
                                      are taken
                  --report <DIR>      Write a report into this folder: index.html, report.json, junit.xml,
                                      screenshots, serial logs
                  --screenshot <DIR>  Write PNGs of the guest's screen into this folder: after the checks that
                                      only look, and of each failure
                  --junit <FILE>      Write a JUnit report too
                  --json              Print the report as JSON on stdout
                  --accel <NAME>      Force an accelerator [default: kvm where a guest really runs under it,
                                      else tcg] [possible values: kvm, tcg]
                  --offline           Never touch the network: build of what the cache has, or nix's store
              -h, --help              Print help

            With the nixos base [default: rave.toml's nixos, then nix.conf's]:
                  --builder <LINE>     A machine that builds for this one, as a line of nix's machines file; may
                                       be repeated
                  --substituter <URL>  A cache besides those of nix.conf; may be repeated
                  --max-jobs <N>       How many builds run side by side here; 0 leaves all to the builders
                  --rebuild            Build what is there once more, and fail where it comes out otherwise

            Everywhere:
              -y, --yes           Install what the host lacks and ask nothing
              -q, --quiet         Say only what went wrong
              -v, --verbose       Show the lines that the programs underneath print
                  --color <WHEN>  Colours: auto, always or never [default: auto]
        "#]],
    );
}

#[test]
fn convert_help() {
    shows(
        &xtask("", &["convert", "--help"]),
        0,
        &expect![[r#"
            Turn a disk of any format into the other formats

            Usage: cargo xtask convert [OPTIONS] --format <FORMAT> <FILE>

            Arguments:
              <FILE>  What holds the disk: raw, .img.zst, qcow2, .vmdk or .ova

            Options:
                  --format <FORMAT>  Into what; may be repeated or a comma list [possible values: qemu,
                                     virtualbox, vmware, raw, iso, all]
                  --compress <HOW>   Of a qcow2: none, zlib or zstd; zstd also makes a .img.zst of a raw disk
                                     [default: rave.toml's compress] [possible values: none, zlib, zstd]
                  --out <DIR>        Folder of the results, which are named after FILE [default: FILE's own]
              -h, --help             Print help

            Everywhere:
              -y, --yes           Install what the host lacks and ask nothing
              -q, --quiet         Say only what went wrong
              -v, --verbose       Show the lines that the programs underneath print
                  --color <WHEN>  Colours: auto, always or never [default: auto]
        "#]],
    );
}

#[test]
fn inspect_help() {
    shows(
        &xtask("", &["inspect", "--help"]),
        0,
        &expect![[r#"
            Say what an image of any format is

            Usage: cargo xtask inspect [OPTIONS] <FILE>

            Arguments:
              <FILE>  An image, a .vmx or an .ovf

            Options:
                  --no-content  Leave the guest's files out: reading them takes seconds
                  --json        Print what was found as JSON on stdout
              -h, --help        Print help

            Everywhere:
              -y, --yes           Install what the host lacks and ask nothing
              -q, --quiet         Say only what went wrong
              -v, --verbose       Show the lines that the programs underneath print
                  --color <WHEN>  Colours: auto, always or never [default: auto]
        "#]],
    );
}

#[test]
fn doctor_help() {
    shows(
        &xtask("", &["doctor", "--help"]),
        0,
        &expect![[r#"
            Show what this host has and lacks; --yes installs it

            Usage: cargo xtask doctor [OPTIONS]

            Options:
                  --accel <NAME>  Prove only this accelerator [possible values: kvm, tcg]
                  --json          Print the rows as JSON on stdout
              -h, --help          Print help

            Everywhere:
              -y, --yes           Install what the host lacks and ask nothing
              -q, --quiet         Say only what went wrong
              -v, --verbose       Show the lines that the programs underneath print
                  --color <WHEN>  Colours: auto, always or never [default: auto]
        "#]],
    );
}

#[test]
fn config_help() {
    shows(
        &xtask("", &["config", "--help"]),
        0,
        &expect![[r#"
        Print the effective configuration and where each value comes from

        Usage: cargo xtask config [OPTIONS]

        Options:
              --json  Print the values and their origins as JSON
          -h, --help  Print help

        Everywhere:
          -y, --yes           Install what the host lacks and ask nothing
          -q, --quiet         Say only what went wrong
          -v, --verbose       Show the lines that the programs underneath print
              --color <WHEN>  Colours: auto, always or never [default: auto]
    "#]],
    );
}

#[test]
fn test_help() {
    shows(
        &xtask("", &["test", "--help"]),
        0,
        &expect![[r#"
            Run every test, or only the named steps

            Usage: cargo xtask test [OPTIONS] [STEP]...

            Arguments:
              [STEP]...
                      Which steps, always in this order [default: all but matrix]

                      Possible values:
                      - format: rustfmt finds nothing to change
                      - clippy: clippy finds nothing to warn about
                      - unit:   Unit, snapshot, property and integration tests
                      - flake:  The NixOS base's flake evaluates, where nix and a nixpkgs tree are
                      - smoke:  One real image built, booted and smoked
                      - faults: That image, and builds of it, when things go wrong
                      - matrix: Every format on every row of the matrix, and the installer's faults

            Options:
              -h, --help
                      Print help (see a summary with '-h')

            Everywhere:
              -y, --yes
                      Install what the host lacks and ask nothing

              -q, --quiet
                      Say only what went wrong

              -v, --verbose
                      Show the lines that the programs underneath print

                  --color <WHEN>
                      Colours: auto, always or never

                      [default: auto]
        "#]],
    );
}

#[test]
fn bench_help() {
    shows(
        &xtask("", &["bench", "--help"]),
        0,
        &expect![[r#"
            Measure builds and boots against their floors

            Usage: cargo xtask bench [OPTIONS]

            Options:
                  --profile <NAME>
                      The profile to measure [default: defaults.profile of rave.toml]

                  --only <PART>
                      Measure only this; may be repeated or a comma list

                      Possible values:
                      - image:        Builds of one format, beside plain mmdebstrap
                      - formats:      All formats beside one, each beside its tool
                      - mkosi:        The same packages by mkosi, if it is installed
                      - boot:         Boots, beside a plain system's
                      - format-boots: Boots of every format
                      - desktop:      The desktop, beside Debian's own

                  --runs <N>
                      How often each boot is measured

                      [default: 3]

                  --json
                      Print the figures as JSON on stdout

              -h, --help
                      Print help (see a summary with '-h')

            Everywhere:
              -y, --yes
                      Install what the host lacks and ask nothing

              -q, --quiet
                      Say only what went wrong

              -v, --verbose
                      Show the lines that the programs underneath print

                  --color <WHEN>
                      Colours: auto, always or never

                      [default: auto]
        "#]],
    );
}

#[test]
fn ci_matrix_help() {
    shows(
        &xtask("", &["ci", "matrix", "--help"]),
        0,
        &expect![[r#"
        Print a job matrix as JSON on one line: an `include` list with base, profile and format

        Usage: cargo xtask ci matrix [OPTIONS]

        Options:
              --base <BASE>      Only this base; may be repeated or a comma list [possible values: nixos,
                                 debian]
              --profile <NAME>   Only this profile of rave.toml; may be repeated or a comma list
              --format <FORMAT>  Only this format; may be repeated or a comma list [possible values: qemu,
                                 virtualbox, vmware, raw, iso, all]
          -h, --help             Print help

        Everywhere:
          -y, --yes           Install what the host lacks and ask nothing
          -q, --quiet         Say only what went wrong
          -v, --verbose       Show the lines that the programs underneath print
              --color <WHEN>  Colours: auto, always or never [default: auto]
    "#]],
    );
}

#[test]
fn completions_help() {
    shows(
        &xtask("", &["completions", "--help"]),
        0,
        &expect![[r#"
        Print a completion script for a shell

        Usage: cargo xtask completions [OPTIONS] <SHELL>

        Arguments:
          <SHELL>  Which shell [possible values: bash, elvish, fish, powershell, zsh]

        Options:
          -h, --help  Print help

        Everywhere:
          -y, --yes           Install what the host lacks and ask nothing
          -q, --quiet         Say only what went wrong
          -v, --verbose       Show the lines that the programs underneath print
              --color <WHEN>  Colours: auto, always or never [default: auto]

        How to use it, with `cargo xtask` in the checkout:
          bash        cargo xtask completions bash >> ~/.bash_completion
          zsh         cargo xtask completions zsh > DIR/_cargo-xtask    (a folder of $fpath)
          fish        cargo xtask completions fish > ~/.config/fish/conf.d/rave.fish
          elvish      cargo xtask completions elvish >> ~/.config/elvish/rc.elv
          powershell  cargo xtask completions powershell >> $PROFILE
    "#]],
    );
}
