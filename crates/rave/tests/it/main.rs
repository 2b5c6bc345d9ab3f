//! The program `rave` as a user runs it, from any folder.

mod foreign;
mod home;
mod publish;
mod release;
