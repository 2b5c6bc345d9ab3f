//! `rave.local.toml` overrides `rave.toml`.

use rave_spec::{Base, ClaudeCode, Compress, Compression, Format, Nixos, Origin, RemoteBuilder, effective};

use crate::{load_local, load_one};

fn file(name: &str, line: usize) -> Origin {
    Origin::File { name: name.to_owned(), line }
}

fn messages(local: &str) -> String {
    load_local(local).unwrap_err().to_string()
}

#[test]
fn the_local_file_wins_key_by_key() {
    let loaded = load_local("[vm]\nmemory = 8192\n").unwrap();
    assert_eq!(loaded.spec.vm.memory.get(), 8192);
    assert_eq!(loaded.spec.vm.cpus, 2);
    assert_eq!(*loaded.origins.get("vm.memory"), file("rave.local.toml", 2));
    assert_eq!(*loaded.origins.get("vm.cpus"), file("rave.toml", 14));
}

#[test]
fn a_list_replaces_a_list() {
    let loaded = load_local("defaults.formats = [\"raw\"]\ndefaults.base = \"nixos\"").unwrap();
    assert_eq!(loaded.spec.defaults.formats, [Format::Raw]);
    assert_eq!(loaded.spec.defaults.base, Some(Base::Nixos));
}

#[test]
fn the_local_file_may_add_a_profile_and_make_it_the_default() {
    let local = "defaults.profile = \"mine\"\n[profiles.mine]\ndescription = \"mine\"\nhardened = true\n";
    let loaded = load_local(local).unwrap();
    assert!(loaded.spec.profile("mine").unwrap().hardened);
    assert!(!loaded.spec.profile("headless").unwrap().hardened);
    let error = loaded.spec.profile("mime").unwrap_err();
    assert_eq!(error.to_string(), r#"unknown profile "mime"; did you mean "mine"?"#);
    let error = loaded.spec.profile("desktop").unwrap_err();
    assert_eq!(error.to_string(), r#"unknown profile "desktop"; expected headless or mine"#);
}

#[test]
fn compression_has_a_default_for_each_format() {
    assert_eq!(load_local("").unwrap().spec.compress, Compress::default());
    let loaded = load_local("compress.raw = \"zstd\"\n").unwrap();
    assert_eq!(loaded.spec.compress, Compress::all(Compression::Zstd));
    assert_eq!(Compress::all(Compression::Zlib).raw, Compression::None);
    assert_eq!(*loaded.origins.get("compress.qemu"), Origin::Default);
}

#[test]
fn claude_code_is_in_the_image_unless_a_layer_says_otherwise() {
    assert_eq!(load_local("").unwrap().spec.tools.claude, ClaudeCode::Baked);
    let loaded = load_local("tools.claude = \"first-boot\"\n").unwrap();
    assert_eq!(loaded.spec.tools.claude, ClaudeCode::FirstBoot);
}

#[test]
fn nix_build_options_are_unset_unless_a_layer_sets_them() {
    assert_eq!(load_local("").unwrap().spec.nixos, Nixos::default());
    let local = "[nixos]\nbuilders = [\"ssh://a x86_64-linux\", \"ssh-ng://b\"]\nsubstituters = [\"https://c\"]\nmax-jobs = 0\noffline = true\n";
    let loaded = load_local(local).unwrap();
    let nixos = &loaded.spec.nixos;
    assert!(nixos.builders.iter().map(RemoteBuilder::as_str).eq(["ssh://a x86_64-linux", "ssh-ng://b"]));
    assert_eq!(nixos.substituters[0].as_str(), "https://c");
    assert_eq!((nixos.max_jobs, nixos.offline, nixos.rebuild), (Some(0), true, false));
    assert_eq!(*loaded.origins.get("nixos.max-jobs"), file("rave.local.toml", 4));
}

#[test]
fn a_duplicate_port_across_layers_names_both_files() {
    assert_eq!(
        messages("[services.ssh]\nhost = 3000\n"),
        "rave.local.toml:2:8: services.ssh.host: port 3000 is taken by services.kanban.host at rave.toml:18:33; \
         expected a port of its own"
    );
}

#[test]
fn a_local_file_may_swap_two_ports() {
    let loaded = load_local("services.kanban.host = 3001\nservices.router.host = 3000\n").unwrap();
    assert_eq!(loaded.spec.services.kanban.host.get(), 3001);
    assert_eq!(loaded.spec.services.router.host.get(), 3000);
}

#[test]
fn an_overridden_wrong_value_is_still_an_error() {
    let bad = crate::GOOD.replace("memory = 4096", "memory = 1");
    let files = [
        rave_spec::ConfigFile::settings("rave.toml", &bad),
        rave_spec::ConfigFile::settings("rave.local.toml", "vm.memory = 4096"),
    ];
    assert_eq!(
        rave_spec::load(&files, &[]).unwrap_err().to_string(),
        "rave.toml:13:10: vm.memory: 1 MiB is out of range; expected a whole number of MiB from 512 to 1048576"
    );
}

#[test]
fn problems_are_sorted_by_file_line_and_column() {
    let bad = crate::GOOD.replace("cpus = 2", "cpus = 0");
    let files = [
        rave_spec::ConfigFile::settings("rave.toml", &bad),
        rave_spec::ConfigFile::settings("a.toml", "vm.disks = 1\nguest.user = \"root\"\n"),
    ];
    let env = [("RAVE_BASE".to_owned(), "arch".to_owned())];
    let errors = rave_spec::load(&files, &env).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "rave.toml:14:8: vm.cpus: 0 CPUs is out of range; expected a whole number of CPUs from 1 to 255\n\
         a.toml:1:4: unknown key \"disks\" in [vm]; did you mean \"disk\"?\n\
         a.toml:2:14: guest.user: user name \"root\" is reserved by Debian; expected another name\n\
         RAVE_BASE: defaults.base: unknown base \"arch\"; expected nixos or debian"
    );
}

#[test]
fn a_broken_layer_does_not_make_its_keys_missing() {
    let bad = crate::GOOD.replace("hostname = \"rave\"", "hostname = \"rave");
    let errors = load_one(&bad).unwrap_err().to_string();
    assert_eq!(errors, "rave.toml:10:17: not valid TOML: invalid basic string, expected `\"`");
}

#[test]
fn a_newer_schema_in_any_layer_is_the_only_problem() {
    assert_eq!(
        messages("schema = 9\nfuture = true\n"),
        "rave.local.toml:1:10: schema: 9 is newer than this version supports; expected 1, or a newer checkout of the tool"
    );
}

#[test]
fn missing_files_are_an_error_and_not_a_panic() {
    let errors = rave_spec::load(&[], &[]).unwrap_err();
    assert_eq!(errors.0[0].to_string(), "rave.toml:1:1: missing key \"schema\"; expected 1");
}

#[test]
fn every_effective_key_has_its_origin() {
    let loaded = load_local("[vm]\ndisk = 20000\n").unwrap();
    let lines: Vec<_> = effective(&loaded)
        .iter()
        .filter(|line| !line.key.starts_with("services.") && !line.key.starts_with("guest."))
        .map(|line| format!("{} = {}  # {}", line.key, line.value, line.origin))
        .collect();
    assert_eq!(
        lines,
        [
            "schema = 1  # rave.toml:1",
            "defaults.profile = \"headless\"  # rave.toml:4",
            "defaults.formats = [\"qemu\"]  # rave.toml:5",
            "vm.memory = 4096  # rave.toml:13",
            "vm.cpus = 2  # rave.toml:14",
            "vm.disk = 20000  # rave.local.toml:2",
            "sandboxes.keep-audit = 30  # default",
            "sandboxes.require-fence = false  # default",
            "network.allow = []  # default",
            "network.deny = []  # default",
            "compress.qemu = \"zstd\"  # default",
            "compress.raw = \"none\"  # default",
            "tools.claude = \"baked\"  # default",
            "extra.packages = []  # rave.toml:24",
            "extra.units = []  # rave.toml:25",
            "extra.environment = []  # rave.toml:26",
            "release.denied_licences = []  # default",
            "profiles.headless.description = \"no desktop\"  # rave.toml:29",
            "profiles.headless.hardened = false  # default",
            "profiles.headless.features = []  # default",
            "profiles.headless.debian = []  # default",
            "debian.suite = \"trixie\"  # rave.toml:32",
            "debian.date = \"lock\"  # default",
            "debian.packages = [\"git\"]  # rave.toml:33",
            "debian.features.desktop = []  # default",
            "debian.features.sound = []  # default",
            "debian.features.docker = []  # default",
            "debian.features.build-tools = []  # default",
            "debian.features.virtual-screen = []  # default",
            "debian.features.vnc = []  # default",
            "debian.features.playwright = []  # default",
            "debian.features.everyday-tools = []  # default",
            "debian.features.cloud = []  # default",
            "nixos.builders = []  # default",
            "nixos.substituters = []  # default",
            "nixos.offline = false  # rave.toml:36",
            "nixos.rebuild = false  # default",
        ]
    );
}

#[test]
fn a_custom_password_is_masked() {
    let shown = |local: &str| {
        let loaded = load_local(local).unwrap();
        assert!(!format!("{loaded:?}").contains("hunter2"));
        effective(&loaded).into_iter().find(|line| line.key == "guest.password").unwrap().value
    };
    assert_eq!(shown(""), "\"agent\"");
    assert_eq!(shown("guest.password = \"hunter2\""), "\"***\"");
}

/// Loads [`GOOD`](crate::GOOD) with the file of an additional profile and a `rave.local.toml`.
fn load_profile(text: &str, local: &str) -> Result<rave_spec::Loaded, rave_spec::Errors> {
    let sources = [
        rave_spec::ConfigFile::settings("rave.toml", crate::GOOD),
        rave_spec::ConfigFile::profile("profiles/mine.toml", "mine", text),
        rave_spec::ConfigFile::settings("rave.local.toml", local),
    ];
    rave_spec::load(&sources, &[])
}

#[test]
fn a_profile_is_one_file_and_the_local_file_wins_key_by_key() {
    let text = "description = \"mine\"\nfeatures = [\"docker\", \"desktop\"]\ndebian = [\"jq\"]\n";
    let local = "profiles.mine.hardened = true\n[debian.features]\ndocker = [\"docker.io\"]\n[extra]\npackages = [\"git\"]";
    let loaded = load_profile(text, local).unwrap();
    let profile = loaded.spec.profile("mine").unwrap();
    assert_eq!((profile.description.as_str(), profile.hardened), ("mine", true));
    assert_eq!(profile.features, [rave_spec::Feature::Docker, rave_spec::Feature::Desktop]);
    assert_eq!(loaded.origins.get("profiles.mine.features").to_string(), "profiles/mine.toml:2");
    let packages = loaded.spec.debian_packages(profile);
    assert_eq!(packages.iter().map(String::as_str).collect::<Vec<_>>(), ["docker.io", "git", "jq"]);
    let headless = loaded.spec.debian_packages(loaded.spec.profile("headless").unwrap());
    assert_eq!(headless.iter().map(String::as_str).collect::<Vec<_>>(), ["git"]);
}

#[test]
fn a_problem_in_a_profile_is_reported_with_its_position() {
    let messages = |text: &str| load_profile(text, "").unwrap_err().to_string();
    assert_eq!(
        messages("description = \"mine\"\nfeatures = [\"desktp\"]\n"),
        "profiles/mine.toml:2:13: profiles.mine.features[0]: unknown feature \"desktp\"; did you mean \"desktop\"?"
    );
    assert_eq!(
        messages("\nhardened = 1\n"),
        "profiles/mine.toml:1:1: missing key \"description\" in [profiles.mine]; expected a line of text\n\
         profiles/mine.toml:2:12: profiles.mine.hardened: 1 is a number; expected true or false"
    );
    assert!(messages("description = \n").starts_with("profiles/mine.toml:1:15: "));
}
