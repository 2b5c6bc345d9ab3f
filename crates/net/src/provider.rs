//! Serves the model's provider to the guest, in a thread per connection.

mod serve;
pub(crate) mod usage;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::dial::Outbound;
use crate::end::End;
use crate::model::Access;
use crate::shared::Shared;

/// Starts a thread for a connection of the guest, and returns the guest's end of it. Returns nothing if there are too
/// many threads.
pub(crate) fn start(
    shared: &Arc<Shared>,
    access: &Arc<Access>,
    outbound: &Outbound,
) -> io::Result<Option<End>> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (inner, access, outbound) = (Arc::clone(shared), Arc::clone(access), outbound.clone());
    let is_started = shared.threads.start("model", move || serve::run(&inner, &access, &outbound, theirs))?;
    Ok(is_started.then(|| End::Thread(ours, None)))
}
