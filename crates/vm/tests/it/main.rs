//! What needs a real QEMU. A host without one fails these tests: they are never skipped in silence.

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
