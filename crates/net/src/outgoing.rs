//! The queue of frames to the guest. It is bounded: when the guest takes none, flows wait and replies are dropped, as
//! on a real link.

use std::io::{self, Write};

use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol};

use crate::framing::HEAD;
use crate::lan::{GATEWAY_MAC, GUEST_MAC};

/// The largest amount of queued data, in bytes.
const MOST: usize = 1 << 20;
/// Below this many bytes, waiting flows resume.
const LOW: usize = MOST / 2;
/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// The offset of data that was not written yet.
    at: usize,
}

impl Outgoing {
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() - self.at >= MOST
    }

    pub(crate) fn is_low(&self) -> bool {
        self.bytes.len() - self.at < LOW
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a frame from the gateway to the guest; `fill` writes its payload.
    pub(crate) fn add<R>(
        &mut self,
        protocol: EthernetProtocol,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        self.add_to(GUEST_MAC, protocol, length, fill)
    }

    /// The same for another station: all of them, or the guest.
    pub(crate) fn add_to<R>(
        &mut self,
        to: EthernetAddress,
        protocol: EthernetProtocol,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if self.at > LOW {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        let size = ETHERNET + length;
        self.bytes.extend(u32::try_from(size).unwrap_or_default().to_be_bytes());
        let start = self.bytes.len();
        self.bytes.resize(start + size, 0);
        let mut frame = EthernetFrame::new_unchecked(&mut self.bytes[start..]);
        frame.set_dst_addr(to);
        frame.set_src_addr(GATEWAY_MAC);
        frame.set_ethertype(protocol);
        fill(frame.payload_mut())
    }

    /// Writes as much as the other end accepts.
    pub(crate) fn write(&mut self, to: &mut impl Write) -> io::Result<()> {
        debug_assert!(self.bytes.is_empty() || self.bytes.len() >= HEAD);
        while !self.is_empty() {
            match to.write(&self.bytes[self.at..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.at += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.at = 0;
        Ok(())
    }
}
