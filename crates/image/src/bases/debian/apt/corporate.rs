//! apt behind a proxy that intercepts TLS, and an archive of three packages.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::network::NetworkEnvironment;
use rave_testing::tls::{Authority, Behind, Proxy};

use super::*;
use crate::stage_cache::StageCache;

/// This host is never resolved: the proxy answers for it.
const HOST: &str = "archive.test";

/// An archive without a signature, in the layout of sources.list(5) for a single folder.
fn archive(folder: &Utf8Path) {
    for (name, more) in [
        ("rave-essential", "Essential: yes\n"),
        ("rave-asked", "Depends: rave-needed (>= 1)\n"),
        ("rave-needed", ""),
    ] {
        let tree = folder.join(name);
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: 1.5\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n{more}Description: a test\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let built =
            Cmd::new("dpkg-deb").args(["--root-owner-group", "--build", tree.as_str(), folder.as_str()]);
        built.output().unwrap();
    }
    let mut packages = String::new();
    for name in ["rave-asked", "rave-essential", "rave-needed"] {
        let file = format!("{name}_1.5_all.deb");
        let bytes = fs::read(folder.join(&file)).unwrap();
        let control = Cmd::new("dpkg-deb").args(["--field", folder.join(&file).as_str()]).output().unwrap();
        let (control, size, sha256) = (control.text(), bytes.len(), Digest::of_bytes(&bytes));
        packages.extend([
            control.trim_end(),
            &format!("\nFilename: ./{file}\nSize: {size}\nSHA256: {sha256}\n\n"),
        ]);
    }
    let release = format!(
        "Codename: trixie\nSuite: stable\nDate: Sat, 06 Sep 2025 10:00:00 UTC\nArchitectures: amd64\nSHA256:\n {} {} Packages\n",
        Digest::of_bytes(packages.as_bytes()),
        packages.len()
    );
    fs::write(folder.join("Packages"), packages).unwrap();
    fs::write(folder.join("Release"), release).unwrap();
}

/// A network whose only way out is a proxy, and the cache of a build in it.
struct Corporation {
    _folder: tempfile::TempDir,
    path: Utf8PathBuf,
    proxy: Proxy,
}

impl Corporation {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        // apt's own user fetches and reads.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(path.join("archive")).unwrap();
        archive(&path.join("archive"));
        let proxy = Proxy::start(Authority::new("Corporation"), Behind::Folder(path.join("archive").into()));
        fs::write(path.join("corp-ca.pem"), proxy.authority().pem()).unwrap();
        Self { _folder: folder, path, proxy }
    }

    /// The names of the packages fetched for a guest that requests one package.
    fn fetch(&self, variables: &[(&str, &Utf8Path)]) -> Result<Vec<String>, Error> {
        let (cache, logs) = (self.path.join("cache"), self.path.join("logs"));
        for folder in [&cache, &logs] {
            fs::create_dir_all(folder).unwrap();
        }
        let network = NetworkEnvironment::of(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, path)| path.to_string())
        });
        let stages = StageRunner::new(StageCache::open(&cache).unwrap(), &cache, &logs, false, &|_| ());
        let stages = stages.with_network(network);
        let sources = format!("deb [trusted=yes] https://{HOST}/ ./\n");
        let settings = format!("Acquire::https::Proxy \"{}\";\nAcquire::Retries \"0\";\n", self.proxy.url());
        let apt = Apt::of_sources(&stages, "trixie", &sources, &settings)?;
        let asked = ["rave-asked".to_owned()].into();
        let found = apt.resolve(PackageRequest { packages: &asked, recommends: false }, &[])?;
        let debs = DebCache::open(&cache)?;
        apt.download(&found, &debs)?;
        Ok(found.into_iter().map(|found| found.package.name).collect())
    }
}

#[test]
fn packages_are_downloaded_through_a_proxy_with_its_own_authority() {
    let corporation = Corporation::new();
    let file = corporation.path.join("corp-ca.pem");
    for variable in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
        let names = corporation.fetch(&[(variable, &file)]).unwrap();
        assert_eq!(names, ["rave-asked", "rave-essential", "rave-needed"], "{variable}");
    }
    assert_eq!(corporation.proxy.hosts(), [HOST.to_owned()].into());
}

#[test]
fn a_missing_authority_is_an_error_that_names_the_variable() {
    let corporation = Corporation::new();
    let error = corporation.fetch(&[]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("apt-get") && text.starts_with("packages: "), "{text}");
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("SSL_CERT_FILE")), "{error:?}");
    assert_eq!(corporation.proxy.hosts(), [].into());
    let missing = corporation.fetch(&[("SSL_CERT_FILE", "/nowhere.pem".into())]).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "SSL_CERT_FILE: cannot read /nowhere.pem: No such file or directory (os error 2)"
    );
}
