//! A headless image, built and booted in a network whose only way out is a proxy that intercepts TLS: packages, npm
//! tools and crates are fetched again into separate caches, and the guest trusts the proxy's authority too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use rave_testing::skip;
use rave_testing::tls::{Authority, Behind, Proxy};

/// The host's trust store, if its environment does not name one.
const STORE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Variables that name authorities; a user of a corporate network sets one.
const AUTHORITIES: [&str; 6] = [
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_cafile",
];

struct Place {
    folder: tempfile::TempDir,
    proxy: Proxy,
}

impl Place {
    /// A checkout without a repository, with the proxy's certificate in it.
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("rave-proxy-").tempdir_in("/var/tmp").unwrap();
        let trusted = std::env::var_os("SSL_CERT_FILE").map_or_else(|| STORE.into(), PathBuf::from);
        let proxy = Proxy::start(Authority::new("Corporation"), Behind::Network(trusted));
        let place = Self { folder, proxy };
        let checkout = place.path("checkout");
        fs::create_dir(&checkout).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = duct::cmd!("git", "ls-files", "-z").dir(root);
        let copied = files.pipe(duct::cmd!("tar", "--create", "--null", "--files-from=-").dir(root));
        copied.pipe(duct::cmd!("tar", "--extract").dir(&checkout)).run().unwrap();
        fs::write(checkout.join("corp-ca.pem"), place.proxy.authority().pem()).unwrap();
        let own = "[guest]\ncertificates = [\"corp-ca.pem\"]\n";
        fs::write(checkout.join("rave.local.toml"), own).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `xtask ARGUMENTS` in the checkout.
    fn xtask(&self, arguments: &[&str], knows_authority: bool) -> Output {
        let url = self.proxy.url();
        let mut command = duct::cmd(env!("CARGO_BIN_EXE_xtask"), arguments)
            .dir(self.path("checkout"))
            .env("RAVE_CACHE", self.path("cache"))
            .env("RAVE_STATE", self.path("state"))
            .env("RAVE_PROFILE", "headless")
            .env("CARGO_HOME", self.path("cargo"))
            .env("NO_COLOR", "1")
            .env("http_proxy", &url)
            .env("https_proxy", &url)
            .env("no_proxy", "127.0.0.1,localhost")
            // A `cafile` of the host would take precedence.
            .env("npm_config_globalconfig", self.path("npmrc-of-all"))
            .env("npm_config_userconfig", self.path("npmrc"))
            .env_remove("CARGO_MANIFEST_DIR");
        for name in AUTHORITIES {
            command = command.env_remove(name);
        }
        // In duct the innermost wins: a variable is either set or removed.
        command = if knows_authority {
            command.env("SSL_CERT_FILE", self.path("checkout/corp-ca.pem"))
        } else {
            command.env_remove("SSL_CERT_FILE")
        };
        command.stdin_null().stdout_capture().stderr_capture().unchecked().run().unwrap()
    }
}

fn all_output(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_image_is_built_behind_a_proxy_that_intercepts_tls() {
    let own = ["https_proxy", "HTTPS_PROXY"].iter().find(|name| std::env::var_os(name).is_some());
    if let Some(name) = own {
        skip!("this host uses a proxy itself ({name}), and the test's proxy cannot be chained to it");
    }
    let place = Place::new();
    let image = ["image", "--base", "debian"];
    let refused = place.xtask(&image, false);
    let text = all_output(&refused);
    assert!(
        refused.status.code() == Some(4) && text.contains("SSL_CERT_FILE"),
        "{:?}\n{text}",
        refused.status
    );
    let started = Instant::now();
    let built = place.xtask(&image, true);
    assert!(built.status.success(), "{:?}\n{}", built.status, all_output(&built));
    let hosts = place.proxy.hosts();
    println!("built in {} s through the proxy, from {} hosts", started.elapsed().as_secs(), hosts.len());
    // At least one each for Debian packages, npm and cargo.
    assert!(hosts.len() >= 3, "{hosts:?}");
    let started = Instant::now();
    let smoke = ["smoke", "--base", "debian", "--only", "certificates,kanban-answers,tool-claude"];
    let checked = place.xtask(&smoke, true);
    assert!(checked.status.success(), "{:?}\n{}", checked.status, all_output(&checked));
    println!("booted and checked in {} s", started.elapsed().as_secs());
}
