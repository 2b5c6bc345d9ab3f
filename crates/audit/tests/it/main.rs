//! Records as files: every change is detected, and writers that are killed, compete or run out of disk space lose
//! nothing without recording it.

mod bounds;
mod full_disk;
mod record;
mod tampering;
mod writers;
