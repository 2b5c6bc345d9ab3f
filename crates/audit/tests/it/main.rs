//! Records as files: what is changed in them is found, and writers that are killed, that meet or that have no disk space lose nothing
//! unsaid.

mod bounds;
mod full_disk;
mod record;
mod tampering;
mod writers;
