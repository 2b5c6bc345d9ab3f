//! The repository's own `rave.toml`.

use rave_spec::{Source, effective, load};

pub const SHIPPED: &str = include_str!("../../../../rave.toml");

#[test]
fn is_valid_and_every_value_of_it_is_effective() {
    let loaded = load(&[Source { name: "rave.toml", text: SHIPPED }], &[]).unwrap();
    let lines: Vec<_> = effective(&loaded)
        .iter()
        .map(|line| format!("{} = {}  # {}", line.key, line.value, line.origin))
        .collect();
    for line in &lines {
        println!("{line}");
    }
    assert!(lines.contains(&"vm.memory = 4096  # rave.toml:15".to_owned()));
}
