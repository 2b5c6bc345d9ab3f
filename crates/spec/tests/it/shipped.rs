//! The repository's own `rave.toml`.

use rave_spec::{ServiceName, WELL_KNOWN_PASSWORD};

use crate::load_one;

#[test]
fn is_valid_and_says_what_the_product_promises() {
    let spec = load_one(include_str!("../../../../rave.toml")).unwrap().spec;
    let ports: Vec<_> =
        spec.services.iter().map(|(name, ports)| (name, ports.guest.get(), ports.host.get())).collect();
    assert_eq!(
        ports,
        [
            (ServiceName::Kanban, 3000, 3000),
            (ServiceName::Router, 3456, 3001),
            (ServiceName::Gateway, 3002, 3002),
            (ServiceName::Ssh, 22, 2223),
        ]
    );
    assert_eq!((spec.vm.memory.get(), spec.vm.cpus), (4096, 2));
    assert_eq!(spec.guest.password, WELL_KNOWN_PASSWORD);
    assert!(!spec.profile("headless").unwrap().hardened);
}
