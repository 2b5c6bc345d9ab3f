//! The network of a sandbox against a guest with a second TCP/IP stack, whose frames come over a socket, as QEMU's do.
//! Real servers listen on loopback, which private rules allow.

mod bounds;
mod browser;
mod closed;
mod guest;
mod hosts;
mod inspected;
mod life;
mod model;
mod pages;
mod proxy;
mod reach;
mod secrets;
mod tls;
mod witness;
