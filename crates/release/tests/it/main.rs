//! Releases as they are cut, verified, damaged and refused.

mod attacks;
mod documents;
mod fixture;
mod handed_over;
mod parsers;
mod parts;
mod publish;
mod publish_interrupted;
mod readers;
mod rotation;
mod stages;
mod stock_tools;
mod whole;
