//! The program `rave` as a user runs it, from any folder.

mod diff;
mod faults;
mod foreign;
mod home;
mod publish;
mod release;
mod sandbox;
