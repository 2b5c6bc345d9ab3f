//! rave-smoke.
