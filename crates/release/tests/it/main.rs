//! Releases as they are cut, verified, damaged and refused.

mod fixture;
mod whole;
