//! Releases: cut, verified, damaged and refused.

mod attacks;
mod documents;
mod fixture;
mod handed_over;
mod inputs;
mod killed;
mod leak_names;
mod leaks;
mod newc;
mod nixos;
mod parsers;
mod parts;
mod patches;
mod publish;
mod publish_interrupted;
mod readers;
mod rebuilds;
mod rotation;
mod small_disk;
mod special_files;
mod stages;
mod stock_tools;
mod whole;
