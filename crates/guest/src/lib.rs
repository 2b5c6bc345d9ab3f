//! rave-guest.
