//! Files for a QEMU that may not open them itself: it gets descriptors, and finds them under a name of its own
//! (docs/interop/qmp-spec.rst, `add-fd`).

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::json;

use super::Client;
use crate::Error;

/// One file that QEMU has, by a descriptor for each access mode that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSet(u64);

impl FileSet {
    /// What QEMU opens it by, which it does more than once: it looks for a descriptor of the same access mode, and takes a copy.
    pub fn name(self) -> String {
        format!("/dev/fdset/{}", self.0)
    }
}

impl Client {
    /// Gives QEMU descriptors of one file, each of another access mode. It has them until [`Client::take_back`], and after that until it
    /// closes what it has opened by them.
    pub fn give(&mut self, files: &[&File], limit: Duration) -> Result<FileSet, Error> {
        let mut set = None;
        for file in files {
            let arguments = set.map_or(json!({}), |FileSet(id)| json!({ "fdset-id": id }));
            let answer = self.execute_with("add-fd", arguments, Some(file), limit)?;
            let id = answer["fdset-id"].as_u64();
            set = Some(FileSet(id.ok_or_else(|| self.error("add-fd", "it names no set".into()))?));
        }
        set.ok_or_else(|| self.error("add-fd", "there is no file to give".into()))
    }

    /// Lets QEMU open none of them any more.
    pub fn take_back(&mut self, FileSet(id): FileSet, limit: Duration) -> Result<(), Error> {
        self.execute("remove-fd", json!({ "fdset-id": id }), limit).map(drop)
    }
}

/// Sends bytes, and a file with the first of them (`SCM_RIGHTS` of unix(7)); how many were sent.
pub(super) fn send(stream: &UnixStream, bytes: &[u8], file: &File) -> io::Result<usize> {
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{IoSliceMut, Read as _, Seek as _, Write as _};

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    #[test]
    fn a_file_goes_with_the_first_bytes_of_its_command() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"of the host").unwrap();
        file.rewind().unwrap();
        assert_eq!(send(&ours, b"add-fd\n", &file).unwrap(), 7);
        drop(file);
        let (mut bytes, mut space) = ([0; 16], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&theirs, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(&bytes[..received.bytes], b"add-fd\n");
        let files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let mut files: Vec<File> = files.flatten().map(File::from).collect();
        let mut text = String::new();
        files.pop().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), files.len()), ("of the host", 0));
    }
}
