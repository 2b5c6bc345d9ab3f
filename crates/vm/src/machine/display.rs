//! The screen of a machine, and the password of one that is served over the network.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;

/// How the user sees the machine's screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Display {
    /// Nothing; the serial console goes to a file.
    Headless,
    /// A GTK window.
    Gtk,
    /// An SDL window.
    Sdl,
    /// A VNC server; its port is at least [`VNC_BASE`].
    Vnc(DisplayServer),
    /// A SPICE server.
    Spice(DisplayServer),
}

/// Where a display is served. Every user of this host can reach even a port of the loopback address, hence the
/// password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayServer {
    /// The address to listen on.
    pub bind: IpAddr,
    /// Its TCP port.
    pub port: u16,
    /// The password that clients must give.
    pub password: Password,
}

/// The port of VNC's display 0 (RFC 6143, 1.1); QEMU takes the display's number.
pub const VNC_BASE: u16 = 5900;

/// A password made for one run. It reaches QEMU in a file of mode 0600, never on the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// VNC's challenge ignores further characters (RFC 6143, 7.2.2).
    const LENGTH: usize = 8;
    /// Without characters that look alike: 57 characters, 46 bits in all.
    const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

    /// A new password from the system's random numbers.
    pub fn random() -> io::Result<Self> {
        let mut source = File::open("/dev/urandom")?;
        let mut text = String::new();
        while text.len() < Self::LENGTH {
            let mut byte = [0];
            source.read_exact(&mut byte)?;
            // Bytes past the alphabet's last whole repetition would make its first characters likelier.
            let count = Self::ALPHABET.len();
            if usize::from(byte[0]) < 256 / count * count {
                text.push(char::from(Self::ALPHABET[usize::from(byte[0]) % count]));
            }
        }
        Ok(Self(text))
    }

    /// The text to type.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_fit_vnc_differ_and_are_masked() {
        let [one, two] = [(), ()].map(|()| Password::random().unwrap());
        assert_eq!(one.as_str().len(), 8);
        assert_ne!(one, two);
        assert!(one.as_str().bytes().all(|byte| Password::ALPHABET.contains(&byte)), "{}", one.as_str());
        assert!(!format!("{one:?}").contains(one.as_str()));
    }
}
