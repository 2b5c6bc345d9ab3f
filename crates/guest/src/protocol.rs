//! The guest's messages to the host: readiness events, and the health report.
//!
//! A [`GuestEvent`] is one line of JSON on the virtio-serial port [`PORT_NAME`]. The host reads the other end of the
//! port from a socket of QEMU. A [`Health`] is what `rave-guest health` prints and what the gateway serves at
//! `/healthz`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of the virtio-serial port for events; in the guest `/dev/virtio-ports/` + this name.
pub const PORT_NAME: &str = "org.rave.ready";

/// The longest line that [`GuestEvent::parse`] accepts, in bytes. The guest can write anything to a port, so a reader
/// may drop longer lines unread.
pub const MAX_LINE: usize = 64 * 1024;

/// A stage of the guest's boot, in the expected order.
///
/// Each is reported as soon as it is reached, so a later one may come first (sshd is often ready before setup is done);
/// the first stage in this order that is not [`StageState::Ok`] is the one to name when the guest hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestStage {
    /// `rave-guest ready` runs, so the kernel, the initrd and the root filesystem work.
    Userspace,
    /// The npm tools were checked against the lock.
    Tools,
    /// The user's home and configuration are prepared.
    Setup,
    /// A network interface has an address. It fails if none is assigned within 10 s (longer on a slow machine), which
    /// does not prevent [`GuestStage::Ready`].
    Network,
    /// The SSH server listens.
    Sshd,
    /// Vibe Kanban answers.
    Kanban,
    /// Claude Code Router answers.
    Router,
    /// The gateway answers.
    Gateway,
    /// All of the above except the network. It fails as soon as nothing more is awaited and a stage has failed, and may
    /// still recover within 15 minutes.
    Ready,
}

impl GuestStage {
    /// Every stage, in order.
    pub const ALL: [Self; 9] = [
        Self::Userspace,
        Self::Tools,
        Self::Setup,
        Self::Network,
        Self::Sshd,
        Self::Kanban,
        Self::Router,
        Self::Gateway,
        Self::Ready,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Userspace => "userspace",
            Self::Tools => "tools",
            Self::Setup => "setup",
            Self::Network => "network",
            Self::Sshd => "sshd",
            Self::Kanban => "kanban",
            Self::Router => "router",
            Self::Gateway => "gateway",
            Self::Ready => "ready",
        }
    }
}

impl fmt::Display for GuestStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The state of a [`GuestStage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageState {
    /// Not reached; the event's detail says what it waits for. Sent again whenever that changes.
    Waiting,
    /// Reached.
    Ok,
    /// It will not be reached without help, after which it may still become [`StageState::Ok`].
    Failed,
}

/// An event: one line on the readiness port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestEvent {
    /// The stage.
    pub stage: GuestStage,
    /// The state of the stage.
    pub state: StageState,
    /// What is awaited or why it failed, for people: `vibe-kanban.service is activating (auto-restart)`.
    #[serde(default)]
    pub detail: String,
    /// Milliseconds since the kernel started (first field of `/proc/uptime`), which do not depend on the clock.
    #[serde(default)]
    pub uptime_ms: u64,
    /// The kernel's `/proc/sys/kernel/random/boot_id`, which distinguishes boots.
    #[serde(default)]
    pub boot_id: String,
    /// On [`GuestStage::Sshd`]: the server's public host keys, `ssh-ed25519 AAAA...` without comment, to pin them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
}

impl GuestEvent {
    /// Parses a line. Returns nothing if it is not an event: noise, an incomplete line after a reset, or an unknown
    /// stage. Unknown fields are ignored.
    pub fn parse(line: &[u8]) -> Option<Self> {
        if line.len() > MAX_LINE {
            return None;
        }
        // If the port is opened in the middle of a line, or firmware has written to it, the line starts with noise.
        let start = line.iter().position(|&byte| byte == b'{')?;
        serde_json::from_slice(line[start..].trim_ascii_end()).ok()
    }

    /// The event as one line with its final newline.
    #[expect(clippy::missing_panics_doc, reason = "strings and numbers always serialise")]
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("strings and numbers always serialise");
        line.push('\n');
        line
    }
}

/// The health report of `rave-guest health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether all services are ok.
    pub ok: bool,
    /// The version of `rave-guest`.
    pub version: String,
    /// The guest's host name.
    pub host_name: String,
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
    /// All services, in the order of [`crate::assets::SERVICES`].
    #[serde(default)]
    pub services: Vec<ServiceHealth>,
    /// The state of Claude Code; nothing in the report of an older guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude: Option<ClaudeState>,
    /// Problems of the machine that affect no service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Whether Claude Code can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaudeState {
    /// The program is installed.
    Ready,
    /// The guest installs it as soon as the network allows.
    Pending,
}

/// One service of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceHealth {
    /// `kanban`, `router`, `gateway` or `ssh`, as in `rave.toml`.
    pub name: String,
    /// The unit that runs it.
    pub unit: String,
    /// systemd's `ActiveState`: `active`, `activating`, `inactive`, `failed`; `unknown` if systemd was not reached.
    pub state: String,
    /// systemd's `SubState`: `running`, `auto-restart`, `dead`.
    #[serde(default)]
    pub sub_state: String,
    /// The port inside the guest.
    pub port: u16,
    /// Whether the port just answered in the service's own protocol; for SSH, whether something listens.
    pub answers: bool,
    /// Whether the unit is active and the port answers.
    pub ok: bool,
    /// A description of the answer or the problem.
    #[serde(default)]
    pub detail: String,
    /// Milliseconds since the unit entered its state; 0 if unknown.
    #[serde(default)]
    pub since_ms: u64,
    /// The command that shows the service's log.
    #[serde(default)]
    pub log: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> GuestEvent {
        GuestEvent {
            stage: GuestStage::Kanban,
            state: StageState::Waiting,
            detail: "vibe-kanban.service is activating (auto-restart)".into(),
            uptime_ms: 5_120,
            boot_id: "0b3c".into(),
            host_keys: Vec::new(),
        }
    }

    #[test]
    fn an_event_is_one_line_and_round_trips() {
        let line = event().to_line();
        assert_eq!(
            line,
            "{\"stage\":\"kanban\",\"state\":\"waiting\",\"detail\":\"vibe-kanban.service is activating \
             (auto-restart)\",\"uptime_ms\":5120,\"boot_id\":\"0b3c\"}\n"
        );
        assert_eq!(GuestEvent::parse(line.as_bytes()), Some(event()));
    }

    #[test]
    fn newlines_in_a_detail_are_escaped() {
        let event = GuestEvent { detail: "a\nb".into(), ..event() };
        assert_eq!(event.to_line().matches('\n').count(), 1);
        assert_eq!(GuestEvent::parse(event.to_line().as_bytes()), Some(event));
    }

    #[test]
    fn unknown_fields_and_missing_optional_fields_are_accepted() {
        let parsed = GuestEvent::parse(br#"{"stage":"ready","state":"ok","colour":[1,{}]}"#).unwrap();
        assert_eq!((parsed.stage, parsed.state, parsed.uptime_ms), (GuestStage::Ready, StageState::Ok, 0));
    }

    #[test]
    fn noise_before_the_object_and_carriage_returns_are_ignored() {
        let mut line = b"\x00\xff garbage ".to_vec();
        line.extend_from_slice(event().to_line().trim_end().as_bytes());
        line.extend_from_slice(b"\r\n");
        assert_eq!(GuestEvent::parse(&line), Some(event()));
    }

    #[test]
    fn truncated_or_damaged_lines_do_not_panic() {
        let line = event().to_line().into_bytes();
        for cut in 0..line.len() {
            let _ = GuestEvent::parse(&line[..cut]);
            for byte in [0x00, 0xff, b'{', b'"', b'\\'] {
                let mut damaged = line.clone();
                damaged[cut] = byte;
                let _ = GuestEvent::parse(&damaged);
            }
        }
        assert_eq!(GuestEvent::parse(b""), None);
        assert_eq!(GuestEvent::parse(br#"{"stage":"warp","state":"ok"}"#), None);
        assert_eq!(GuestEvent::parse(br#"{"stage":"ready","state":"ok","uptime_ms":-1}"#), None);
        // Deep nesting must not exhaust the stack.
        assert_eq!(GuestEvent::parse("{\"a\":".repeat(10_000).as_bytes()), None);
        assert_eq!(GuestEvent::parse("[".repeat(60_000).as_bytes()), None);
    }

    #[test]
    fn over_long_lines_are_refused() {
        let event = GuestEvent { detail: "x".repeat(MAX_LINE), ..event() };
        assert_eq!(GuestEvent::parse(event.to_line().as_bytes()), None);
    }

    #[test]
    fn serialized_names_match_name() {
        for stage in GuestStage::ALL {
            assert_eq!(serde_json::to_string(&stage).unwrap(), format!("\"{stage}\""));
        }
        assert!(GuestStage::ALL.is_sorted());
    }

    #[test]
    fn a_health_report_round_trips() {
        let health = Health {
            ok: false,
            version: "0.1.0".into(),
            host_name: "rave".into(),
            uptime_ms: 1,
            services: vec![ServiceHealth {
                name: "kanban".into(),
                unit: "vibe-kanban.service".into(),
                state: "inactive".into(),
                sub_state: "dead".into(),
                port: 3000,
                answers: false,
                ok: false,
                detail: "vibe-kanban.service is inactive (dead)".into(),
                since_ms: 12,
                log: "journalctl -u vibe-kanban".into(),
            }],
            claude: Some(ClaudeState::Pending),
            warnings: vec!["w".into()],
        };
        let text = serde_json::to_string(&health).unwrap();
        assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), health);
    }
}
