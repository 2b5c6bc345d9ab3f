//! `rave-guest`: what RAVE's units run inside the virtual machine.

fn main() {
    println!("rave-guest {}", env!("CARGO_PKG_VERSION"));
}
