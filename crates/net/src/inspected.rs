//! Connections whose TLS is inspected. A thread per connection ends the guest's TLS with a certificate of the sandbox's
//! authority, checks each request, and passes it on over its own TLS, which is verified with the host's trusted
//! authorities.

pub(crate) mod copy;
pub(crate) mod exchange;
pub(crate) mod pages;
pub(crate) mod side;

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, ServerConnection, StreamOwned};

pub(crate) use exchange::Target;

use crate::end::End;
use crate::shared::Shared;
use crate::witness::Kind;
use exchange::Exchange;
use pages::page;
use side::{Guest, Host, Side, Stream as _};

/// The timeout of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Starts a thread for a connection to the world, and returns the guest's end of it. Returns nothing if there are too
/// many threads.
pub(crate) fn start(shared: &Arc<Shared>, world: TcpStream, target: Target) -> io::Result<Option<End>> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    world.set_nonblocking(false)?;
    let end = End::Thread(ours, Some(world.try_clone()?));
    let thread_shared = Arc::clone(shared);
    let is_started =
        shared.threads.start("inspected", move || serve(&thread_shared, theirs, world, &target))?;
    Ok(is_started.then_some(end))
}

fn serve(shared: &Shared, guest: UnixStream, world: TcpStream, target: &Target) {
    let deny = |kind, why: &str, allow| {
        shared.journal().deny(kind, &format!("{}:{}", target.host.as_str(), target.port), why, allow);
    };
    let mut guest = match greet(shared, guest, target) {
        Ok(guest) => Side::new(guest),
        Err(error) => {
            if let Some(why) = distrust(&error) {
                deny(Kind::Tls, why, None);
            }
            return;
        }
    };
    let host = match reach(shared, world, target) {
        Ok(host) => Side::new(host),
        Err(error) => {
            let why = format!("no TLS with the host: {error}");
            deny(Kind::Tls, &why, None);
            // Read the request first: a client that is still writing might not read.
            if guest.read_head(exchange::REQUEST).is_ok() {
                let _ = guest.write(&page("502 Bad Gateway", &why));
            }
            guest.stream.end();
            guest.stream.linger();
            return;
        }
    };
    let mut exchange = Exchange { guest, host, target, witness: &shared.witness };
    if let Err(refused) = exchange.run() {
        // Before the answer: a client that has the answer finds it in the log.
        deny(Kind::Http, &refused.why, refused.allow.as_ref());
        exchange.refuse(&refused);
    }
}

/// Completes TLS with the guest.
fn greet(shared: &Shared, socket: UnixStream, target: &Target) -> io::Result<Guest> {
    let config = shared.inspector.authority().ok_or(ErrorKind::NotFound)?.server(&target.host)?;
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut socket = socket;
    socket.set_read_timeout(Some(HANDSHAKE))?;
    socket.set_write_timeout(Some(HANDSHAKE))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    // The gate has parsed the same hello: the two parsers must agree.
    if tls.server_name() != Some(target.host.as_str()) {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(Guest::Tls(Box::new(StreamOwned::new(tls, socket))))
}

/// Completes TLS with the host.
fn reach(shared: &Shared, mut socket: TcpStream, target: &Target) -> io::Result<Host> {
    let mut tls = shared.inspector.upstream.client(&target.host)?;
    socket.set_read_timeout(Some(HANDSHAKE))?;
    socket.set_write_timeout(Some(HANDSHAKE))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    Ok(Host(Box::new(StreamOwned::new(tls, socket))))
}

/// Interprets a guest's alert about our certificate.
fn distrust(error: &io::Error) -> Option<&'static str> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::AlertReceived(alert) = tls else { return None };
    let is_distrust = matches!(
        alert,
        AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
    );
    is_distrust.then_some("its TLS is inspected, and the program does not trust the sandbox's authority")
}
