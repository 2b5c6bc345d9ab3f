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
              convert      Convert a disk of any format to the other formats
              inspect      Describe an image of any format and verify it
              update       Update debian.lock and the npm lock, and print the changes
              doctor       Check this host for requirements; --yes installs missing packages
              config       Print the effective configuration with the origin of each value
              completions  Print a completion script for a shell
              test         Run every test, or only the named steps
              bench        Measure builds and boots, and compare them with plain tools
              ci           Print data for continuous integration workflows
              codegen      Write the generated files; --check fails if one is out of date
              install      Put the program `rave` on the PATH: the same commands from any folder

            Options:
              -h, --help     Print help
              -V, --version  Print version

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
                  --color <WHEN>  Colours: auto, always or never [default: auto]

            Exit codes: 0 ok, 1 a check failed, 2 wrong usage or bad rave.toml, 3 the host is not ready, 4 a
            build failed, 130 interrupted.
            Options of a command: cargo xtask COMMAND --help
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
                  --format <FORMAT>     Formats to build; may be repeated or comma-separated [default:
                                        defaults.formats of rave.toml] [possible values: qemu, virtualbox,
                                        vmware, raw, iso, all]
                  --profile <NAME>      A profile of rave.toml [default: defaults.profile of rave.toml]
                  --base <BASE>         What builds the disk [default: as in rave.toml, otherwise nixos if nix
                                        works, otherwise debian] [possible values: nixos, debian]
                  --out <DIR>           Folder of the artifacts and their manifest.json [default:
                                        out/BASE-PROFILE]
                  --compress <HOW>      Compression of the qcow2; zstd also writes a .img.zst of the raw disk
                                        [default: compress of rave.toml] [possible values: none, zlib, zstd]
                  --json                Print the manifest on stdout when done
                  --refresh             Rebuild every stage, even if nothing changed
                  --check-reproducible  Build twice in different environments and compare byte for byte
                  --frozen              Fail if a package of debian.lock is not available, instead of using the
                                        archive's version
                  --locked <MANIFEST>   Rebuild the image of this manifest.json, and compare [default of --out:
                                        out/BASE-PROFILE-locked]
                  --offline             Use only cached inputs, or nix's store; never access the network
              -h, --help                Print help

            With the nixos base [default: as in rave.toml, otherwise as in nix.conf]:
                  --builder <LINE>     A remote builder, as a line of nix's machines file; may be repeated
                  --substituter <URL>  An additional cache, besides those of nix.conf; may be repeated
                  --max-jobs <N>       Number of parallel local builds; 0 sends all of them to the builders
                  --rebuild            Rebuild what already exists, and fail if the result differs

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
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
                  --format <FORMAT>        Artifact to boot [default: the first of defaults.formats of
                                           rave.toml] [possible values: qemu, virtualbox, vmware, raw, iso]
                  --profile <NAME>         A profile of rave.toml [default: defaults.profile of rave.toml]
                  --base <BASE>            What builds the disk [default: as in rave.toml, otherwise nixos if
                                           nix works, otherwise debian] [possible values: nixos, debian]
                  --out <DIR>              Folder of the artifacts and their manifest.json [default:
                                           out/BASE-PROFILE]
                  --headless               No window; the serial console goes to a file (default without a
                                           display)
                  --gui [<DISPLAY>]        Show the screen in a window, or serve it on loopback; `auto` is gtk,
                                           otherwise sdl, otherwise vnc [possible values: auto, gtk, sdl, vnc,
                                           spice]
                  --memory <MIB>           Memory in MiB [default: vm.memory of rave.toml]
                  --cpus <N>               Virtual CPUs [default: vm.cpus of rave.toml]
                  --port <NAME=PORT|auto>  Host port of a service, or `auto` for a free one; may be repeated
                  --detach                 Leave the VM running in the background
                  --keep                   Keep what the guest writes to its disk for the next run
                  --no-build               Boot the existing artifact, even if it is older than the settings
                  --ssh                    Open a shell in the guest when it is ready
                  --exec <CMD>             Run a command in the guest and exit with its code
                  --accel <NAME>           Force an accelerator [default: kvm if a test guest runs under it,
                                           otherwise tcg] [possible values: kvm, tcg]
                  --firmware <NAME>        Firmware to boot with [default: bios] [possible values: bios, uefi]
                  --offline                Use only cached inputs, or nix's store; never access the network
              -h, --help                   Print help

            With the nixos base [default: as in rave.toml, otherwise as in nix.conf]:
                  --builder <LINE>     A remote builder, as a line of nix's machines file; may be repeated
                  --substituter <URL>  An additional cache, besides those of nix.conf; may be repeated
                  --max-jobs <N>       Number of parallel local builds; 0 sends all of them to the builders
                  --rebuild            Rebuild what already exists, and fail if the result differs

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
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
                  --format <FORMAT>   Artifacts to check; may be repeated or comma-separated [default:
                                      defaults.formats of rave.toml] [possible values: qemu, virtualbox, vmware,
                                      raw, iso, all]
                  --profile <NAME>    A profile of rave.toml [default: defaults.profile of rave.toml]
                  --base <BASE>       What builds the disk [default: as in rave.toml, otherwise nixos if nix
                                      works, otherwise debian] [possible values: nixos, debian]
                  --out <DIR>         Folder of the artifacts and their manifest.json [default:
                                      out/BASE-PROFILE]
                  --rows <ROW>        Rows of the matrix to boot: `first` of each format, `all`, or names; may
                                      be comma-separated [default: first, or all with --format all]
                  --jobs <N>          Number of machines that run side by side [default: as many as memory and
                                      processors allow]
                  --list              List the checks and run none
                  --list-rows         List the rows of the matrix and boot none
                  --only <CHECK>      Run only this check; may be repeated or comma-separated
                  --skip <CHECK>      Skip this check; may be repeated or comma-separated
                  --fixed-ports       Fail if a host port of rave.toml is taken, instead of using a free one
                  --report <DIR>      Write a report to this folder: index.html, report.json, junit.xml,
                                      screenshots, serial logs
                  --screenshot <DIR>  Write screenshots (PNG) to this folder: one after the read-only checks,
                                      and one of each failure
                  --junit <FILE>      Also write a JUnit report
                  --json              Print the report as JSON on stdout
                  --accel <NAME>      Force an accelerator [default: kvm if a test guest runs under it,
                                      otherwise tcg] [possible values: kvm, tcg]
                  --offline           Use only cached inputs, or nix's store; never access the network
              -h, --help              Print help

            With the nixos base [default: as in rave.toml, otherwise as in nix.conf]:
                  --builder <LINE>     A remote builder, as a line of nix's machines file; may be repeated
                  --substituter <URL>  An additional cache, besides those of nix.conf; may be repeated
                  --max-jobs <N>       Number of parallel local builds; 0 sends all of them to the builders
                  --rebuild            Rebuild what already exists, and fail if the result differs

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
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
            Convert a disk of any format to the other formats

            Usage: cargo xtask convert [OPTIONS] --format <FORMAT> <FILE>

            Arguments:
              <FILE>  The disk: raw, .img.zst, qcow2, .vmdk or .ova

            Options:
                  --format <FORMAT>  Target formats; may be repeated or comma-separated [possible values: qemu,
                                     virtualbox, vmware, raw, iso, all]
                  --compress <HOW>   Compression of a qcow2; zstd also writes a .img.zst of a raw disk [default:
                                     compress of rave.toml] [possible values: none, zlib, zstd]
                  --out <DIR>        Folder of the results, which are named after FILE [default: the folder of
                                     FILE]
              -h, --help             Print help

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
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
            Describe an image of any format and verify it

            Usage: cargo xtask inspect [OPTIONS] <FILE>

            Arguments:
              <FILE>  An image, a .vmx or an .ovf

            Options:
                  --no-content  Skip the guest's files, which take seconds to read
                  --json        Print the result as JSON on stdout
              -h, --help        Print help

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
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
            Check this host for requirements; --yes installs missing packages

            Usage: cargo xtask doctor [OPTIONS]

            Options:
                  --accel <NAME>  Probe only this accelerator [possible values: kvm, tcg]
                  --json          Print the rows as JSON on stdout
              -h, --help          Print help

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
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
            Print the effective configuration with the origin of each value

            Usage: cargo xtask config [OPTIONS]

            Options:
                  --json  Print the values and their origins as JSON
              -h, --help  Print help

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
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
                      Steps to run, always in this order [default: all except matrix and hosts]

                      Possible values:
                      - format: Check the format with rustfmt
                      - clippy: Lint with clippy
                      - unit:   Run unit, snapshot, property and integration tests
                      - flake:  Evaluate the flake of the NixOS base, if nix and a nixpkgs tree are available
                      - smoke:  Build, boot and smoke-test one real image
                      - faults: Break that image and its builds in many ways
                      - matrix: Smoke-test every row of the matrix, and break installations
                      - hosts:  Machines of several kinds, each prepared by `doctor --yes` alone

            Options:
              -h, --help
                      Print help (see a summary with '-h')

            Global options:
              -y, --yes
                      Install missing host packages without asking

              -q, --quiet
                      Print errors only

              -v, --verbose
                      Show the output of the programs that are run

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
            Measure builds and boots, and compare them with plain tools

            Usage: cargo xtask bench [OPTIONS]

            Options:
                  --profile <NAME>
                      Profile to measure [default: defaults.profile of rave.toml]

                  --only <PART>
                      Measure only this part; may be repeated or comma-separated

                      Possible values:
                      - image:        Builds of one format, compared with plain mmdebstrap
                      - formats:      All formats compared with one, and each with its tool
                      - mkosi:        The same packages built by mkosi, if it is installed
                      - boot:         Boots, compared with a plain system
                      - format-boots: Boots of every format
                      - desktop:      The desktop, compared with Debian's own

                  --runs <N>
                      Number of measurements of each boot

                      [default: 3]

                  --json
                      Print the figures as JSON on stdout

              -h, --help
                      Print help (see a summary with '-h')

            Global options:
              -y, --yes
                      Install missing host packages without asking

              -q, --quiet
                      Print errors only

              -v, --verbose
                      Show the output of the programs that are run

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
                  --base <BASE>      Only this base; may be repeated or comma-separated [possible values: nixos,
                                     debian]
                  --profile <NAME>   Only this profile of rave.toml; may be repeated or comma-separated
                  --format <FORMAT>  Only this format; may be repeated or comma-separated [possible values:
                                     qemu, virtualbox, vmware, raw, iso, all]
              -h, --help             Print help

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
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
              <SHELL>  The shell [possible values: bash, elvish, fish, powershell, zsh]

            Options:
              -h, --help  Print help

            Global options:
              -y, --yes           Install missing host packages without asking
              -q, --quiet         Print errors only
              -v, --verbose       Show the output of the programs that are run
                  --color <WHEN>  Colours: auto, always or never [default: auto]

            Usage by shell, with `cargo xtask` in the checkout:
              bash        cargo xtask completions bash >> ~/.bash_completion
              zsh         cargo xtask completions zsh > DIR/_cargo-xtask    (a folder of $fpath)
              fish        cargo xtask completions fish > ~/.config/fish/conf.d/rave.fish
              elvish      cargo xtask completions elvish >> ~/.config/elvish/rc.elv
              powershell  cargo xtask completions powershell >> $PROFILE
        "#]],
    );
}
