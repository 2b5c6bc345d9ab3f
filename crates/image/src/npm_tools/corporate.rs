//! npm behind a proxy that intercepts TLS, and a registry of one package.

use rave_process::network::NetworkEnvironment;
use rave_process::{Cmd, Output};
use rave_testing::tls::{Authority, Behind, Proxy};
use sha2::Digest as _;

use super::*;

/// This host is never resolved: the proxy answers for it.
const REGISTRY: &str = "https://registry.test";

/// A package's tarball, its metadata, and a lock that requests it.
fn registry(folder: &Utf8Path, project: &Utf8Path) {
    let manifest = r#"{"name":"tiny","version":"1.0.0"}"#;
    fs::create_dir(folder.join("package")).unwrap();
    fs::write(folder.join("package/package.json"), manifest).unwrap();
    let tar = Cmd::new("tar").args(["--create", "--gzip", "--file=tiny-1.0.0.tgz", "package"]);
    tar.current_dir(folder).output().unwrap();
    let digest = sha2::Sha512::digest(fs::read(folder.join("tiny-1.0.0.tgz")).unwrap());
    let integrity = format!("sha512-{}", <base64ct::Base64 as base64ct::Encoding>::encode_string(&digest));
    let dist = serde_json::json!({ "tarball": format!("{REGISTRY}/tiny-1.0.0.tgz"), "integrity": integrity });
    let version = serde_json::json!({ "name": "tiny", "version": "1.0.0", "dist": dist });
    let described = serde_json::json!({
        "name": "tiny", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": version },
    });
    fs::write(folder.join("tiny"), described.to_string()).unwrap();
    let project_of =
        serde_json::json!({ "name": "project", "version": "1.0.0", "dependencies": { "tiny": "1.0.0" } });
    let lock = serde_json::json!({
        "name": "project", "version": "1.0.0", "lockfileVersion": 3,
        "packages": { "": project_of, "node_modules/tiny": { "version": "1.0.0", "integrity": integrity } },
    });
    fs::write(project.join("package.json"), project_of.to_string()).unwrap();
    fs::write(project.join("package-lock.json"), lock.to_string()).unwrap();
}

#[test]
fn a_package_is_downloaded_through_a_proxy_with_its_own_authority() {
    if rave_process::find_program("npm").is_none() {
        rave_testing::skip!("npm is missing");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    let (served, project) = (path.join("served"), path.join("project"));
    for folder in [&served, &project] {
        fs::create_dir(folder).unwrap();
    }
    registry(&served, &project);
    let proxy = Proxy::start(Authority::new("Corporation"), Behind::Folder(served.into()));
    let file = path.join("corp-ca.pem");
    fs::write(&file, proxy.authority().pem()).unwrap();
    let fetch = |network: &NetworkEnvironment| -> Result<Output, Error> {
        let argv = argv(&path.join("cache"), NetworkAccess::Allowed);
        // The test's own variables do not apply to the tested network.
        let command = Cmd::new(&argv[0]).env_remove("NODE_EXTRA_CA_CERTS").args(&argv[1..]);
        network
            .for_node(command)
            .env("https_proxy", proxy.url())
            .env("npm_config_registry", REGISTRY)
            .env("npm_config_fetch_retries", "0")
            // The host's own settings, such as a `cafile`, would take precedence.
            .env("npm_config_globalconfig", path.join("npmrc-of-all"))
            .env("npm_config_userconfig", path.join("npmrc"))
            .current_dir(&project)
            .output()
            .stage(STAGE)
    };
    let error = fetch(&NetworkEnvironment::default()).unwrap_err();
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("SSL_CERT_FILE")), "{error:?}");
    assert_eq!(proxy.hosts(), [].into());
    let named = NetworkEnvironment::of(|name| (name == "SSL_CERT_FILE").then(|| file.to_string()));
    fetch(&named).unwrap();
    assert!(project.join("node_modules/tiny/package.json").is_file());
    assert_eq!(proxy.hosts(), ["registry.test".to_owned()].into());
}
