//! Why a guest did not become ready.

use std::fmt;
use std::time::Duration;

use rave_process::Status;

use super::BootStage;

/// Why a guest did not become ready, and where it hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFailure {
    /// The stage it hangs in.
    pub stage: BootStage,
    /// The evidence for that, in words.
    pub evidence: String,
    /// Why the wait ended.
    pub cause: Cause,
    /// The last 30 lines of the serial console, or of the firmware's log if the console is silent.
    pub serial_tail: Vec<String>,
}

/// Why the wait for a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It took too long.
    Timeout {
        /// The time it was given.
        after: Duration,
    },
    /// QEMU ended.
    QemuDied {
        /// Its exit status.
        status: Status,
        /// Its last lines.
        tail: Vec<String>,
    },
    /// The guest's kernel panicked.
    Panicked {
        /// The kernel's message.
        message: String,
    },
    /// Timers of a virtual CPU no longer expire, which software emulation can cause.
    LostTimer {
        /// The message of the guest's kernel.
        message: String,
    },
    /// Something in the guest waits for a person.
    GaveUp {
        /// Its message.
        message: String,
    },
    /// The guest reports that a stage failed.
    GuestReported {
        /// The stage's detail.
        detail: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { after } => write!(f, "not ready after {:.0} s", after.as_secs_f64()),
            Self::QemuDied { status, tail } => {
                write!(f, "QEMU ended ({status})")?;
                match tail.iter().rev().find(|line| !line.trim().is_empty()) {
                    Some(line) => write!(f, ": {line}"),
                    None => Ok(()),
                }
            }
            Self::Panicked { message } | Self::LostTimer { message } | Self::GaveUp { message } => {
                f.write_str(message)
            }
            Self::GuestReported { detail } => f.write_str(detail),
        }
    }
}

impl BootFailure {
    /// What to do next.
    pub fn remedy(&self) -> String {
        match &self.cause {
            Cause::QemuDied { status: Status::Signal(9), .. } => {
                "something killed QEMU: check `dmesg | tail` for an out-of-memory kill, and give the machine less (--memory)"
                    .to_owned()
            }
            Cause::LostTimer { .. } => "a fault of QEMU's emulation: run the same command again, or give the machine one processor (--cpus 1)".to_owned(),
            // The kernel's test of its timer waits by counting instructions, and ticks are late on a busy host.
            Cause::Panicked { message } if message.contains("IO-APIC + timer") => {
                "this host is too busy for software emulation: run fewer machines at once, then the same command again".to_owned()
            }
            _ => self.stage.remedy().to_owned(),
        }
    }
}

impl fmt::Display for BootFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the guest did not get past {}: {}", self.stage, self.cause)?;
        write!(f, "  {}", self.evidence)?;
        if self.serial_tail.is_empty() {
            write!(f, "\n  it printed nothing")?;
        } else {
            write!(f, "\n  its last lines:")?;
            self.serial_tail.iter().try_for_each(|line| write!(f, "\n    {line}"))?;
        }
        Ok(())
    }
}

impl std::error::Error for BootFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_stage_cause_observations_and_remedy() {
        let failure = BootFailure {
            stage: BootStage::Initrd,
            evidence: "the kernel's start of its first program was seen".into(),
            cause: Cause::Timeout { after: Duration::from_secs(300) },
            serial_tail: vec!["ALERT! UUID=1 does not exist".into()],
        };
        assert_eq!(
            failure.to_string(),
            "the guest did not get past initrd: not ready after 300 s
  the kernel's start of its first program was seen
  its last lines:
    ALERT! UUID=1 does not exist"
        );
        assert!(failure.remedy().starts_with("the kernel does not find the root filesystem"));
    }

    #[test]
    fn a_timer_delayed_by_a_busy_host_is_not_a_fault_of_the_image() {
        let message = "Kernel panic - not syncing: IO-APIC + timer doesn't work!".to_owned();
        let cause = Cause::Panicked { message };
        let failure =
            BootFailure { stage: BootStage::Kernel, evidence: String::new(), cause, serial_tail: Vec::new() };
        assert!(failure.remedy().contains("too busy"), "{}", failure.remedy());
    }

    #[test]
    fn a_lost_timer_is_not_a_fault_of_the_image() {
        let message = "rcu:  Possible timer handling issue on cpu=1 timer-softirq=5".to_owned();
        let cause = Cause::LostTimer { message };
        let failure =
            BootFailure { stage: BootStage::Initrd, evidence: String::new(), cause, serial_tail: Vec::new() };
        assert!(failure.remedy().contains("--cpus 1"), "{}", failure.remedy());
    }

    #[test]
    fn a_qemu_killed_by_the_oom_killer_has_its_own_remedy() {
        let cause = Cause::QemuDied { status: Status::Signal(9), tail: Vec::new() };
        let failure =
            BootFailure { stage: BootStage::Kernel, evidence: String::new(), cause, serial_tail: Vec::new() };
        assert!(failure.to_string().contains("killed by SIGKILL") && failure.remedy().contains("--memory"));
    }
}
