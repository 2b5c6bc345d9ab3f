//! Tests of xtask from outside, and rules for the whole workspace.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod actionlint;
mod checkout;
mod circles;
mod command_line;
mod documents;
mod help;
mod host;
mod nix;
mod policy;
mod prose;
mod release;
mod release_parts;
mod release_preflight;
mod smoke;
mod untrusted_input;
