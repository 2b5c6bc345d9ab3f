//! The keys of `rave.toml`, each read into its type.

use std::collections::BTreeMap;
use std::str::FromStr;

use camino::Utf8PathBuf;

use crate::document::Node;
use crate::reader::{At, Reader, Section};
use crate::sizes::expected_whole;
use crate::spec::{Debian, Defaults, Extra, Guest, Profile, Service, Services, Spec, VmSize};
use crate::{
    Base, CPUS_RANGE, DISK_RANGE, Format, MEMORY_RANGE, MebiBytes, PackageName, Port, ProfileName, Refusal,
    ServiceName, check, value,
};

/// The schema that this version of the tool reads.
pub const SCHEMA: u64 = 1;

/// Reads every key; `None` where a problem was reported that leaves a hole.
pub(crate) fn spec(mut root: Section<'_>, reader: &mut Reader) -> Option<Spec> {
    if !schema(&mut root, reader) {
        return None;
    }
    let guest = guest(root.section(reader, "guest"), reader);
    let vm = vm(root.section(reader, "vm"), reader);
    let services = services(root.section(reader, "services"), reader);
    let extra = extra(root.section(reader, "extra"), reader);
    let profiles = profiles(root.section(reader, "profiles"), reader);
    let debian = debian(root.section(reader, "debian"), reader);
    let defaults = defaults(root.section(reader, "defaults"), reader, profiles.as_ref());
    root.finish(reader);
    Some(Spec {
        defaults: defaults?,
        guest: guest?,
        vm: vm?,
        services: services?,
        extra: extra?,
        profiles: profiles?,
        debian: debian?,
    })
}

/// False where the file is for another version, whose keys cannot be judged.
fn schema(root: &mut Section<'_>, reader: &mut Reader) -> bool {
    let expected = SCHEMA.to_string();
    let read = |_: &mut Reader, node: &Node, _: &str| {
        let number = value::ranged(node, "schema", &(1..=u64::MAX))?;
        if number > SCHEMA {
            let what = format!("schema {number} is newer than this tool knows");
            return Err(Refusal::new(what, format!("{expected}, or a newer checkout of the tool")));
        }
        Ok(number)
    };
    root.required(reader, "schema", &expected, read).is_some() || reader.problems.is_empty()
}

fn guest(mut section: Section<'_>, reader: &mut Reader) -> Option<Guest> {
    let user = section.required(reader, "user", "a login name", parsed("a login name"));
    let password = section.required(reader, "password", "a password", |_, node, _| {
        let text = value::text(node, "a password")?;
        check::password(text)?;
        Ok(text.to_owned())
    });
    let hostname = section.required(reader, "hostname", "a host name", parsed("a host name"));
    section.finish(reader);
    Some(Guest { user: user?.value, password: password?.value, hostname: hostname?.value })
}

fn vm(mut section: Section<'_>, reader: &mut Reader) -> Option<VmSize> {
    let mut size = |name: &str, what: &str, range| {
        section
            .required(reader, name, &expected_whole(&range), |_, node, _| value::ranged(node, what, &range))
    };
    let memory = size("memory", "memory in MiB", MEMORY_RANGE);
    let cpus = size("cpus", "number of cpus", CPUS_RANGE);
    let disk = size("disk", "disk in MiB", DISK_RANGE);
    section.finish(reader);
    Some(VmSize {
        memory: MebiBytes::new(memory?.value),
        cpus: u32::try_from(cpus?.value).ok()?,
        disk: MebiBytes::new(disk?.value),
    })
}

fn services(mut section: Section<'_>, reader: &mut Reader) -> Option<Services> {
    let read: Vec<_> =
        ServiceName::ALL.iter().map(|name| service(section.section(reader, name.as_str()), reader)).collect();
    section.finish(reader);
    check::duplicate_ports(&read, reader);
    let mut read = read.into_iter().map(ServicePorts::complete);
    let mut next = || read.next()?;
    Some(Services { kanban: next()?, router: next()?, gateway: next()?, ssh: next()? })
}

/// The ports of a service as far as they could be read.
pub(crate) struct ServicePorts {
    pub(crate) guest_key: String,
    pub(crate) guest: Option<At<Port>>,
    pub(crate) host_key: String,
    pub(crate) host: Option<At<Port>>,
}

impl ServicePorts {
    fn complete(self) -> Option<Service> {
        Some(Service { guest: self.guest?.value, host: self.host?.value })
    }
}

fn service(mut section: Section<'_>, reader: &mut Reader) -> ServicePorts {
    let guest = section.required(reader, "guest", Port::EXPECTED, |_, node, _| value::port(node));
    let host = section.required(reader, "host", Port::EXPECTED, |_, node, _| value::port(node));
    let ports = ServicePorts { guest_key: section.key("guest"), guest, host_key: section.key("host"), host };
    section.finish(reader);
    ports
}

fn extra(mut section: Section<'_>, reader: &mut Reader) -> Option<Extra> {
    let packages = packages(&mut section, reader, "packages");
    let units = section.list(reader, "units", "a list of paths of unit files", |node| {
        check::unit_path(value::text(node, "the path of a unit file")?)
    });
    let environment = section.list(reader, "environment", "a list of \"NAME=value\"", |node| {
        check::environment(value::text(node, "\"NAME=value\"")?)
    });
    if let Some(units) = &units {
        check::duplicates(reader, &section.key("units"), units, |unit: &Utf8PathBuf| {
            unit.file_name().unwrap_or_default().to_owned()
        });
    }
    if let Some(environment) = &environment {
        check::duplicates(reader, &section.key("environment"), environment, |entry| entry.name.clone());
    }
    section.finish(reader);
    Some(Extra {
        packages: packages?,
        units: values(units?),
        environment: environment?.into_iter().map(|entry| (entry.value.name, entry.value.value)).collect(),
    })
}

fn profiles(mut section: Section<'_>, reader: &mut Reader) -> Option<BTreeMap<ProfileName, Profile>> {
    let mut profiles = Some(BTreeMap::new());
    for name in section.names() {
        let place = section.place_of(name).clone();
        let profile = profile(section.section(reader, name), reader);
        let name = name.parse::<ProfileName>().map_err(|refusal| reader.refuse(&place, "profiles", refusal));
        profiles = match (profiles, name, profile) {
            (Some(mut profiles), Ok(name), Some(profile)) => {
                profiles.insert(name, profile);
                Some(profiles)
            }
            _ => None,
        };
    }
    if section.names().is_empty() {
        reader.missing(&section, "headless", "a table for each profile, at least one");
        return None;
    }
    profiles
}

fn profile(mut section: Section<'_>, reader: &mut Reader) -> Option<Profile> {
    const DESCRIPTION: &str = "a line of text";
    let description = section.required(reader, "description", DESCRIPTION, |_, node, _| {
        let text = value::text(node, DESCRIPTION)?;
        check::one_line(text)?;
        Ok(text.to_owned())
    });
    let hardened = section.optional(reader, "hardened", |_, node, _| value::truth(node));
    let packages = packages(&mut section, reader, "debian");
    section.finish(reader);
    Some(Profile {
        description: description?.value,
        hardened: hardened?.is_some_and(|hardened| hardened.value),
        packages: packages?.into_iter().map(String::from).collect(),
    })
}

fn debian(mut section: Section<'_>, reader: &mut Reader) -> Option<Debian> {
    let suite = section.required(reader, "suite", "a suite such as trixie", parsed("a suite such as trixie"));
    let packages = packages(&mut section, reader, "packages");
    section.finish(reader);
    Some(Debian { suite: suite?.value, packages: packages?.into_iter().map(String::from).collect() })
}

fn defaults(
    mut section: Section<'_>,
    reader: &mut Reader,
    profiles: Option<&BTreeMap<ProfileName, Profile>>,
) -> Option<Defaults> {
    let profile = section.required(reader, "profile", "the name of a profile", |_, node, _| {
        let text = value::text(node, "the name of a profile")?;
        match profiles {
            Some(profiles) if !profiles.contains_key(text) => {
                Err(Refusal::unknown("profile", text, profiles.keys().map(ProfileName::as_str)))
            }
            _ => text.parse::<ProfileName>(),
        }
    });
    let formats = section.list(reader, "formats", "a list of formats", |node| {
        value::text(node, "the name of a format")?.parse::<Format>()
    });
    let base = section.optional(reader, "base", parsed::<Base>("nixos or debian"));
    if formats.as_ref().is_some_and(Vec::is_empty) {
        reader.missing(&section, "formats", "a list of at least one format");
        return None;
    }
    section.finish(reader);
    Some(Defaults { profile: profile?.value, formats: values(formats?), base: base?.map(|base| base.value) })
}

fn packages(section: &mut Section<'_>, reader: &mut Reader, name: &str) -> Option<Vec<PackageName>> {
    let list = section.list(reader, name, "a list of package names", |node| {
        value::text(node, "the name of a package")?.parse()
    });
    list.map(values)
}

fn values<T>(list: Vec<At<T>>) -> Vec<T> {
    list.into_iter().map(|item| item.value).collect()
}

/// Reads a text by its type's `FromStr`.
fn parsed<T: FromStr<Err = Refusal>>(
    expected: &str,
) -> impl Fn(&mut Reader, &Node, &str) -> Result<T, Refusal> {
    move |_, node, _| value::text(node, expected)?.parse()
}
