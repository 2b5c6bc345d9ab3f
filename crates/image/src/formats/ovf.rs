//! The descriptor of an OVF package: DMTF DSP0243, Open Virtualization Format Specification 1.1.0, and what VirtualBox
//! and VMware add to it. One virtual machine per descriptor; unknown parts are ignored when it is read.

mod envelope;
pub(crate) mod hardware;
mod parse;
mod render;
#[cfg(test)]
mod tests;
mod units;
pub mod vbox;

use super::parse_error::ParseError;
pub use envelope::{
    DEBIAN_64, Envelope, File, Item, OperatingSystem, STREAM_OPTIMISED, VirtualDisk, VirtualSystem,
};

/// Values of `ResourceType` (DSP0243, 8.3; the numbers are those of the CIM class `CIM_ResourceAllocationSettingData`).
pub mod resource {
    /// Processor.
    pub const PROCESSOR: u16 = 3;
    /// Memory.
    pub const MEMORY: u16 = 4;
    /// Parallel SCSI host bus adapter.
    pub const SCSI: u16 = 6;
    /// Ethernet adapter.
    pub const ETHERNET: u16 = 10;
    /// Disk drive (17: storage extent in later CIM schemas).
    pub const DISK: u16 = 17;
    /// Other storage device: used for SATA controllers.
    pub const OTHER_STORAGE: u16 = 20;
}

impl Envelope {
    /// Renders the document.
    pub fn render(&self) -> String {
        render::envelope(self).render()
    }

    /// Parses a document.
    pub fn parse(document: &str) -> Result<Self, ParseError> {
        parse::envelope(document).map_err(|detail| ParseError::new("OVF descriptor", detail))
    }
}
