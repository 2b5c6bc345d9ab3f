//! Images of strangers, made by the programs that make them, as the commands see them.

mod containers;
mod every_format;
mod links;
mod packages;
mod packed;
mod place;
