//! The root file system of the Debian base: its packages, the npm tools and RAVE's own files, merged.

use std::fs::File;
use std::io::{BufReader, Write};

use camino::Utf8Path;

use super::root_filesystem::BUFFER;
use crate::error::{Error, IoContext as _};
use crate::npm_tools::NpmTools;
use crate::tree::accounts::Account;
use crate::tree::merge::{Merge, WriteError};
use crate::tree::overlay::Overlay;
use crate::tree::root_tar::{Extent, RootTar};
use crate::tree::root_tree::RootTree;

/// The content of the file system.
pub(crate) struct MergedTree<'a> {
    pub(crate) root: &'a RootTar,
    pub(crate) tools: &'a NpmTools,
    pub(crate) account: &'a Account,
    pub(crate) overlay: &'a Overlay,
    pub(crate) epoch: u64,
}

impl RootTree for MergedTree<'_> {
    fn extent(&self) -> Extent {
        self.root.extent + self.tools.extent + self.overlay.extent()
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), WriteError> {
        let merge = Merge {
            account: self.account,
            overlay: self.overlay,
            left_out: &self.tools.left_out,
            epoch: self.epoch,
        };
        merge.write(open(&self.root.path)?, open(&self.tools.tar)?, out)
    }
}

fn open(path: &Utf8Path) -> Result<BufReader<File>, Error> {
    Ok(BufReader::with_capacity(BUFFER, File::open(path).at("open", path)?))
}
