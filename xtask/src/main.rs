//! `cargo xtask`: the one entry point.
fn main() {}
