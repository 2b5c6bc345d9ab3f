//! Releases as they are cut, verified, damaged and refused.

mod attacks;
mod documents;
mod fixture;
mod handed_over;
mod inputs;
mod leaks;
mod parsers;
mod parts;
mod publish;
mod publish_interrupted;
mod readers;
mod rebuilds;
mod rotation;
mod small_disk;
mod stages;
mod stock_tools;
mod whole;
