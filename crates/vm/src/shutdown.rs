//! How a machine ends.

use std::time::{Duration, Instant};

use rave_process::Status;
use serde_json::Value;

use crate::Error;
use crate::instance::Instance;
use crate::qmp::QMP_DEADLINE;

/// How often the power button is pressed again: a guest that is still booting ignores it.
const PRESS_INTERVAL: Duration = Duration::from_secs(5);

/// How long QEMU may take to end after `quit`.
const QUIT_DEADLINE: Duration = Duration::from_secs(10);

/// How a machine was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// QEMU had already ended.
    Before(Status),
    /// The guest powered itself off after the power button was pressed.
    PoweredOff {
        /// How long it took.
        after: Duration,
    },
    /// The guest did not power off, and QEMU ended on request.
    Quit,
    /// QEMU did not end either, and was killed.
    Killed,
}

impl Instance {
    /// Ends the machine and removes its run folder: presses the power button (ACPI), asks QEMU to quit if the guest has
    /// not powered off after `grace`, and finally kills QEMU. Works even after an interrupt.
    pub fn shutdown(mut self, grace: Duration) -> Result<Shutdown, Error> {
        let how = self.end(grace)?;
        self.clean_up()?;
        Ok(how)
    }

    /// Ends the machine as if by a power failure, and removes its run folder.
    pub fn kill(mut self) -> Result<(), Error> {
        self.child.kill().map_err(Error::process("ending QEMU"))?;
        self.clean_up()
    }

    fn end(&mut self, grace: Duration) -> Result<Shutdown, Error> {
        if let Some(status) = self.wait(Duration::ZERO)? {
            return Ok(Shutdown::Before(status));
        }
        let started = Instant::now();
        while started.elapsed() < grace {
            // A QEMU that is just ending refuses the command or closes the socket; waiting shows whether it ended.
            let _ = self.qmp.execute("system_powerdown", Value::Null, QMP_DEADLINE);
            if self.wait(PRESS_INTERVAL.min(grace.saturating_sub(started.elapsed())))?.is_some() {
                return Ok(Shutdown::PoweredOff { after: started.elapsed() });
            }
        }
        let _ = self.qmp.execute("quit", Value::Null, QMP_DEADLINE);
        if self.wait(QUIT_DEADLINE)?.is_some() {
            return Ok(Shutdown::Quit);
        }
        self.child.kill().map_err(Error::process("ending QEMU"))?;
        Ok(Shutdown::Killed)
    }

    fn wait(&mut self, limit: Duration) -> Result<Option<Status>, Error> {
        self.child.wait_timeout(limit).map_err(Error::process("waiting for QEMU to end"))
    }
}
