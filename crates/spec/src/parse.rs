//! Reads each key of `rave.toml` into its type.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::str::FromStr;

use camino::Utf8PathBuf;

use crate::diagnostic::Place;
use crate::node::Node;
use crate::reader::{Reader, Section};
use crate::spec::{
    Compress, Debian, Defaults, Extra, Guest, Profile, Release, SandboxLimits, Spec, Tools, VmSize,
};
use crate::{
    Base, CPUS_LIMITS, ClaudeCode, Compression, DISK_LIMITS, Date, Feature, Format, Hostname, InvalidValue,
    KEEP_AUDIT_LIMITS, LicenceName, Limits, MAX_JOBS_LIMITS, MEMORY_LIMITS, MebiBytes, Mirror, Nixos,
    PackageName, ProfileName, RemoteBuilder, SANDBOXES_LIMITS, Substituter, check, network, services, value,
};

/// The schema that this version supports.
pub const SCHEMA: u64 = 1;

/// Reads every key; `None` if a value is missing because of a reported error.
pub(crate) fn spec(mut root: Section<'_>, reader: &mut Reader) -> Option<Spec> {
    if is_newer(&mut root, reader) {
        return None;
    }
    let guest = guest(root.required_section(reader, "guest"), reader);
    let vm = vm(root.required_section(reader, "vm"), reader);
    let sandboxes = sandboxes(root.section(reader, "sandboxes"), reader);
    let network = network::parse(root.section(reader, "network"), reader);
    let compress = compress(root.section(reader, "compress"), reader);
    let services = services::parse(root.required_section(reader, "services"), reader);
    let tools = tools(root.section(reader, "tools"), reader);
    let extra = extra(root.section(reader, "extra"), reader);
    let release = release(root.section(reader, "release"), reader);
    let profile_section = root.required_section(reader, "profiles");
    let profile_names = profile_section.names();
    let profiles = profiles(profile_section, reader, &profile_names);
    let debian = debian(root.required_section(reader, "debian"), reader);
    let nixos = nixos(root.section(reader, "nixos"), reader);
    let defaults = defaults(root.required_section(reader, "defaults"), reader, &profile_names);
    root.finish(reader);
    Some(Spec {
        defaults: defaults?,
        guest: guest?,
        vm: vm?,
        sandboxes: sandboxes?,
        network: network?,
        compress: compress?,
        services: services?,
        tools: tools?,
        extra: extra?,
        release: release?,
        profiles: profiles?,
        debian: debian?,
        nixos: nixos?,
    })
}

/// Whether a layer is for a newer version of the tool, so that its other keys cannot be checked.
fn is_newer(root: &mut Section<'_>, reader: &mut Reader) -> bool {
    let expected = SCHEMA.to_string();
    let newer = Cell::new(false);
    root.required(reader, "schema", &expected, |node| {
        let number = value::number(node, &expected)?;
        if number > i128::from(SCHEMA) {
            newer.set(true);
            let what = format!("{number} is newer than this version supports");
            return Err(InvalidValue::new(what, format!("{SCHEMA}, or a newer checkout of the tool")));
        }
        if number < i128::from(SCHEMA) {
            return Err(InvalidValue::new(format!("there is no schema {number}"), &expected));
        }
        Ok(())
    });
    newer.get()
}

fn guest(mut section: Section<'_>, reader: &mut Reader) -> Option<Guest> {
    let user = section.required(reader, "user", "a login name", parsed("a login name"));
    let password = section.required(reader, "password", "a string", |node| {
        // The usual message would repeat the value.
        let text = value::text(node, "")
            .map_err(|_| InvalidValue::new("the password is not a string", "a string"))?;
        check::password(text)?;
        Ok(text.to_owned())
    });
    let hostname = section.required(reader, "hostname", "a host name", parsed("a host name"));
    let key = |node: &Node| check::public_key(value::text(node, "a public key")?);
    let keys = section.list(reader, "authorized_keys", "a list of public keys", key, |key: &String| key);
    let name = |node: &Node| value::text(node, "a host name")?.parse::<Hostname>();
    let names = section.list(reader, "gateway_names", "a list of host names", name, Hostname::as_str);
    let certificate = |node: &Node| check::certificate_path(value::text(node, "the path of a PEM file")?);
    let certificates = section.list(
        reader,
        "certificates",
        "a list of paths of PEM files",
        certificate,
        |certificate: &Utf8PathBuf| certificate.as_str(),
    );
    section.finish(reader);
    Some(Guest {
        user: user?.value,
        password: password?.value,
        hostname: hostname?.value,
        authorized_keys: keys.or(Vec::new())?,
        gateway_names: names.or(Vec::new())?,
        certificates: certificates.or(Vec::new())?,
    })
}

fn vm(mut section: Section<'_>, reader: &mut Reader) -> Option<VmSize> {
    let mut size = |name: &str, limits: &Limits| {
        section.required(reader, name, &limits.expected(), |node| value::limited(node, limits))
    };
    let memory = size("memory", &MEMORY_LIMITS);
    let cpus = size("cpus", &CPUS_LIMITS);
    let disk = size("disk", &DISK_LIMITS);
    section.finish(reader);
    Some(VmSize {
        memory: MebiBytes::new(memory?.value),
        cpus: u32::try_from(cpus?.value).ok()?,
        disk: MebiBytes::new(disk?.value),
    })
}

fn sandboxes(mut section: Section<'_>, reader: &mut Reader) -> Option<SandboxLimits> {
    let mut size =
        |name: &str| section.optional(reader, name, |_, node, _| value::limited(node, &SANDBOXES_LIMITS));
    let (memory, disk) = (size("memory"), size("disk"));
    let keep = section.optional(reader, "keep-audit", |_, node, _| value::limited(node, &KEEP_AUDIT_LIMITS));
    let require_fence = section.optional(reader, "require-fence", |_, node, _| value::boolean(node));
    section.finish(reader);
    let size = |number: Option<u64>| number.map(MebiBytes::new);
    Some(SandboxLimits {
        memory: size(memory.map(Some).or(None)?),
        disk: size(disk.map(Some).or(None)?),
        keep_audit: keep.or(SandboxLimits::default().keep_audit)?,
        require_fence: require_fence.or(false)?,
    })
}

fn compress(mut section: Section<'_>, reader: &mut Reader) -> Option<Compress> {
    let compression = |node: &Node| value::text(node, "none, zlib or zstd")?.parse::<Compression>();
    let qemu = section.optional(reader, "qemu", |_, node, _| compression(node));
    let raw = section.optional(reader, "raw", |_, node, _| check::raw_compression(compression(node)?));
    section.finish(reader);
    let default = Compress::default();
    Some(Compress { qemu: qemu.or(default.qemu)?, raw: raw.or(default.raw)? })
}

fn tools(mut section: Section<'_>, reader: &mut Reader) -> Option<Tools> {
    let claude = parsed::<ClaudeCode>("baked or first-boot");
    let claude = section.optional(reader, "claude", |_, node, _| claude(node));
    section.finish(reader);
    Some(Tools { claude: claude.or(ClaudeCode::Baked)? })
}

fn release(mut section: Section<'_>, reader: &mut Reader) -> Option<Release> {
    const EXPECTED: &str = "a list of identifiers of licences";
    let name = parsed::<LicenceName>("the identifier of a licence");
    let denied = section.list(reader, "denied_licences", EXPECTED, name, LicenceName::as_str);
    section.finish(reader);
    Some(Release { denied_licences: denied.or(Vec::new())? })
}

fn extra(mut section: Section<'_>, reader: &mut Reader) -> Option<Extra> {
    let packages = packages(&mut section, reader, "packages");
    let units = section.list(
        reader,
        "units",
        "a list of paths of unit files",
        |node| check::unit_path(value::text(node, "the path of a unit file")?),
        |unit: &Utf8PathBuf| unit.file_name().unwrap_or_default(),
    );
    let environment = section.list(
        reader,
        "environment",
        "a list of \"NAME=value\"",
        |node| check::environment(value::text(node, "\"NAME=value\"")?),
        |(name, _)| name,
    );
    section.finish(reader);
    Some(Extra {
        packages: packages?,
        units: units.or(Vec::new())?,
        environment: environment.or(Vec::new())?,
    })
}

fn profiles(
    mut section: Section<'_>,
    reader: &mut Reader,
    names: &BTreeMap<&str, Place>,
) -> Option<BTreeMap<ProfileName, Profile>> {
    if names.is_empty() {
        let invalid =
            InvalidValue::new("no profile in [profiles]", "at least one, such as [profiles.headless]");
        section.lacks("headless", invalid);
    }
    let mut profiles = BTreeMap::new();
    for (name, place) in names {
        let profile = profile(section.section(reader, name), reader);
        match (name.parse::<ProfileName>(), profile) {
            (Ok(name), Some(profile)) => {
                profiles.insert(name, profile);
            }
            (Ok(_), None) => {}
            (Err(invalid), _) => reader.report(place, "", invalid),
        }
    }
    section.finish(reader);
    (!names.is_empty() && profiles.len() == names.len()).then_some(profiles)
}

fn profile(mut section: Section<'_>, reader: &mut Reader) -> Option<Profile> {
    const DESCRIPTION: &str = "a line of text";
    let description = section.required(reader, "description", DESCRIPTION, |node| {
        let text = value::text(node, DESCRIPTION)?;
        check::one_line(text)?;
        Ok(text.to_owned())
    });
    let hardened = section.optional(reader, "hardened", |_, node, _| value::boolean(node));
    let feature = |node: &Node| value::text(node, "the name of a feature")?.parse::<Feature>();
    let features =
        section.list(reader, "features", "a list of features", feature, |feature| feature.as_str());
    let packages = packages(&mut section, reader, "debian");
    section.finish(reader);
    Some(Profile {
        description: description?.value,
        hardened: hardened.or(false)?,
        features: features.or(Vec::new())?,
        packages: packages?.into_iter().map(String::from).collect(),
    })
}

fn debian(mut section: Section<'_>, reader: &mut Reader) -> Option<Debian> {
    let suite = section.required(reader, "suite", "a suite such as trixie", parsed("a suite such as trixie"));
    let date = section.optional(reader, "date", |_, node, _| parsed::<Date>("lock or commit")(node));
    let mirror = section.optional(reader, "mirror", |_, node, _| parsed::<Mirror>("a URL")(node));
    let security_mirror =
        section.optional(reader, "security_mirror", |_, node, _| parsed::<Mirror>("a URL")(node));
    let packages = packages(&mut section, reader, "packages");
    let features = feature_packages(section.section(reader, "features"), reader);
    section.finish(reader);
    Some(Debian {
        suite: suite?.value,
        date: date.or(Date::Lock)?,
        mirror: mirror.map(Some).or(None)?,
        security_mirror: security_mirror.map(Some).or(None)?,
        packages: packages?.into_iter().map(String::from).collect(),
        features: features?,
    })
}

/// The packages of each feature in the base's archive.
fn feature_packages(mut section: Section<'_>, reader: &mut Reader) -> Option<BTreeMap<Feature, Vec<String>>> {
    let read: Vec<_> = Feature::ALL
        .iter()
        .map(|feature| (*feature, packages(&mut section, reader, feature.as_str())))
        .collect();
    section.finish(reader);
    read.into_iter()
        .map(|(feature, packages)| Some((feature, packages?.into_iter().map(String::from).collect())))
        .collect()
}

fn nixos(mut section: Section<'_>, reader: &mut Reader) -> Option<Nixos> {
    const BUILDERS: &str = "a list of remote builders";
    const SUBSTITUTERS: &str = "a list of URLs";
    let builder = parsed("a remote builder");
    let builders = section.list(reader, "builders", BUILDERS, builder, RemoteBuilder::as_str);
    let substituter = parsed("a URL");
    let substituters = section.list(reader, "substituters", SUBSTITUTERS, substituter, Substituter::as_str);
    let max_jobs = section.optional(reader, "max-jobs", |_, node, _| value::limited(node, &MAX_JOBS_LIMITS));
    let offline = section.optional(reader, "offline", |_, node, _| value::boolean(node));
    let rebuild = section.optional(reader, "rebuild", |_, node, _| value::boolean(node));
    section.finish(reader);
    let max_jobs = max_jobs.map(Some).or(None)?;
    Some(Nixos {
        builders: builders.or(Vec::new())?,
        substituters: substituters.or(Vec::new())?,
        max_jobs: max_jobs.and_then(|jobs| u32::try_from(jobs).ok()),
        offline: offline.or(false)?,
        rebuild: rebuild.or(false)?,
    })
}

fn defaults(
    mut section: Section<'_>,
    reader: &mut Reader,
    profiles: &BTreeMap<&str, Place>,
) -> Option<Defaults> {
    const PROFILE: &str = "the name of a profile";
    const FORMATS: &str = "a list of at least one format";
    let profile = section.required(reader, "profile", PROFILE, |node| {
        let text = value::text(node, PROFILE)?;
        // Without any profile, that is the error, not this name.
        if !profiles.is_empty() && !profiles.contains_key(text) {
            return Err(InvalidValue::unknown("profile", text, profiles.keys().copied()));
        }
        text.parse::<ProfileName>()
    });
    let format = |node: &Node| value::text(node, "the name of a format")?.parse::<Format>();
    let formats = section.list(reader, "formats", FORMATS, format, |format| format.as_str());
    let formats = section.demand("formats", FORMATS, formats);
    if let Some(formats) = formats.as_ref().filter(|formats| formats.value.is_empty()) {
        reader.report(
            &formats.place,
            section.key("formats"),
            InvalidValue::new("the list is empty", FORMATS),
        );
    }
    let base = section.optional(reader, "base", |_, node, _| parsed::<Base>("nixos or debian")(node));
    section.finish(reader);
    Some(Defaults { profile: profile?.value, formats: formats?.value, base: base.map(Some).or(None)? })
}

fn packages(section: &mut Section<'_>, reader: &mut Reader, name: &str) -> Option<Vec<PackageName>> {
    let read = |node: &Node| value::text(node, "the name of a package")?.parse();
    section.list(reader, name, "a list of package names", read, PackageName::as_str).or(Vec::new())
}

/// Parses a text with the `FromStr` of its type.
fn parsed<T: FromStr<Err = InvalidValue>>(expected: &str) -> impl Fn(&Node) -> Result<T, InvalidValue> {
    move |node| value::text(node, expected)?.parse()
}
