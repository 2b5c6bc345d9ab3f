//! The proxy that `[extra] environment` of rave.toml sets for a guest: naming it there implies that it may be reached,
//! even on a private network or on this host.

use std::net::{IpAddr, Ipv4Addr};

use rave_net::{ProxyUrl, Rule, lan};

/// The variables that name proxies; programs read both cases (curl(1), "ENVIRONMENT").
const VARIABLES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];

/// The rules that let the guest reach its proxies.
pub(crate) fn rules(environment: &[(String, String)]) -> Vec<Rule> {
    let is_proxy = |name: &str| VARIABLES.iter().any(|variable| name.eq_ignore_ascii_case(variable));
    let mut rules: Vec<Rule> =
        environment.iter().filter(|(name, _)| is_proxy(name)).filter_map(|(_, url)| rule(url)).collect();
    rules.sort();
    rules.dedup();
    rules
}

/// The rule for a proxy's URL; none if the URL is invalid or refers to the guest itself.
fn rule(url: &str) -> Option<Rule> {
    let url = ProxyUrl::of(url);
    let (host, port) = url.host_and_port()?;
    let port = port.or_else(|| default_port(url.scheme))?;
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(lan::GATEWAY)) => Ipv4Addr::LOCALHOST.to_string(),
        Ok(address) if address.is_loopback() => return None,
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ if host.eq_ignore_ascii_case("localhost") => return None,
        _ => host.to_owned(),
    };
    format!("{host}:{port}/tcp,private").parse().ok()
}

/// The port of a proxy whose URL has none: that of its scheme, as most programs assume. Only curl uses 1080 for HTTP
/// too (curl(1), --proxy).
fn default_port(scheme: &str) -> Option<u16> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(80),
        "https" => Some(443),
        "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => Some(1080),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Vec<String> {
        let variables: Vec<_> = variables.iter().map(|(name, url)| ((*name).into(), (*url).into())).collect();
        rules(&variables).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_proxy_is_allowed_at_its_port_at_any_address() {
        let named = of(&[
            ("http_proxy", "http://proxy.corp.example:3128"),
            ("HTTPS_PROXY", "http://me:p@ss@proxy.corp.example:3128/"),
            ("https_proxy", "10.1.2.3:8080"),
            ("no_proxy", "other.example:1"),
        ]);
        assert_eq!(named, ["proxy.corp.example:3128/tcp,private", "10.1.2.3:8080/tcp,private"]);
    }

    #[test]
    fn gateway_addresses_lead_to_the_hosts_loopback() {
        assert_eq!(of(&[("http_proxy", "http://10.0.2.2:3128")]), ["127.0.0.1:3128/tcp,private"]);
    }

    #[test]
    fn guest_local_proxies_and_invalid_urls_open_nothing() {
        let variables = [
            "http://127.0.0.1:3128",
            "http://localhost:3128",
            "http://[::1]:3128",
            "http://a b:1",
            "",
            "x:y",
        ];
        assert!(of(&variables.map(|url| ("http_proxy", url))).is_empty());
    }

    #[test]
    fn a_url_without_a_port_uses_the_default_of_its_scheme() {
        for (url, port) in [
            ("http://p.example", 80),
            ("p.example", 80),
            ("HTTP://p.example/", 80),
            ("socks5h://p.example", 1080),
        ] {
            assert_eq!(of(&[("http_proxy", url)]), [format!("p.example:{port}/tcp,private")]);
        }
        assert!(of(&[("all_proxy", "ftp://p.example")]).is_empty());
        assert_eq!(of(&[("http_proxy", "https://p.example")]), ["p.example:443/tcp,private"]);
    }
}
