//! Untrusted images, made by their usual programs, as seen by the commands.

mod containers;
mod every_format;
mod links;
mod packages;
mod packed;
mod place;
