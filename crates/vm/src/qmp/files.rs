//! Passes files to a QEMU that may not open them itself: it gets file descriptors, and opens them by a special name
//! (docs/interop/qmp-spec.rst, `add-fd`).

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// A file passed to QEMU, as a descriptor for each access mode that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSet(pub(super) u64);

impl FileSet {
    /// The name by which QEMU opens it, as often as it likes: it looks for a descriptor with the right access mode and
    /// duplicates that.
    pub fn name(self) -> String {
        format!("/dev/fdset/{}", self.0)
    }
}

/// Sends bytes, and a file with the first of them (`SCM_RIGHTS` of unix(7)); returns how many bytes were sent.
pub(super) fn send(stream: &UnixStream, bytes: &[u8], file: &File) -> io::Result<usize> {
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let send = || sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    Ok(rustix::io::retry_on_intr(send)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{IoSliceMut, Read as _, Seek as _, Write as _};

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    #[test]
    fn a_file_descriptor_is_sent_with_the_first_bytes_of_its_command() {
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
