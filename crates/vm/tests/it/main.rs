//! Tests that need a real QEMU. On a host without QEMU they fail: they are never skipped silently.

mod accel;
mod disks;
mod display;
mod guest;
mod hang;
mod life;
mod logs;
mod network;
mod ports;
mod ssh;
