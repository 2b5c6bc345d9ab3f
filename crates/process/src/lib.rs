//! rave-process.
