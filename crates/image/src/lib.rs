//! rave-image.
