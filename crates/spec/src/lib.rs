//! rave-spec.
