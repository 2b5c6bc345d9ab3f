//! The NixOS base end to end: the real `nix`, on a flake small enough to be built by /bin/sh.

mod builds;
mod faults;
mod host_and_guest;
mod project;
mod test_nix;
