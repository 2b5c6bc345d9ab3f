//! The program `rave` as a user runs it, from any folder.

mod diff;
mod faults;
mod fence;
mod foreign;
mod home;
mod hostile;
mod moments;
mod publish;
mod release;
mod sandbox;
mod secrets;
mod snapshot_record;
