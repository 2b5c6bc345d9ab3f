//! xtask seen from outside, and the rules that the whole workspace keeps.

mod checkout;
mod command_line;
mod help;
mod policy;
