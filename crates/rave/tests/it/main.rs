//! The program `rave` as a user runs it, from any folder.

mod fence;
mod foreign;
mod home;
mod hostile;
mod publish;
mod release;
