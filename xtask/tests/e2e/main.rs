//! Tests with a real image: `cargo xtask test` runs them last. They share an image in the user's own cache, which the
//! first test builds.

mod checkouts;
mod closure_disk;
mod cloud;
mod command;
mod content;
mod desktop_faults;
mod first_boot;
mod fixture;
mod forks;
mod full_disk;
mod image_faults;
mod install;
mod installer_faults;
mod kills;
mod matrix;
mod named_sandboxes;
mod nixos;
mod release;
mod run_network;
mod sandboxes;
mod seed;
mod sleep;
mod smoke_faults;
mod stage;
mod template_faults;
mod templates;
mod tool;
mod vm_faults;
mod workspace;
