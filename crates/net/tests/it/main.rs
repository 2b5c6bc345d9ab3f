//! The network of a sandbox against a guest that is a second stack: its frames come over a socket, as QEMU's do. Servers are
//! real ones on loopback, which tests allow by private rules.

mod bounds;
mod closed;
mod guest;
mod hosts;
mod life;
mod model;
mod opened;
mod pages;
mod proxy;
mod reach;
mod secrets;
mod tls;
mod witness;
