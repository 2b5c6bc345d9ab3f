//! The flags for the size of a machine: `run` and `up`.

use clap::Args;

/// The size of a machine.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Size {
    /// Memory in MiB [default: vm.memory of rave.toml]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(512..))]
    pub memory: Option<u32>,
    /// Virtual CPUs [default: vm.cpus of rave.toml]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub cpus: Option<u32>,
}
