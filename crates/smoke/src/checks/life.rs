//! Checks that disturb the guest: a stopped service, a reboot, a shutdown.

use rave_guest::protocol::Health;
use rave_vm::Shutdown;

use crate::checks::web::{describe, json};
use crate::disk_state;
use crate::guest::Guest;
use crate::http;
use crate::poll::{CheckError, Observation, ensure};

pub(crate) fn stopped_service_told(guest: &mut Guest, seen: &mut Observation) -> Result<(), CheckError> {
    guest.succeed("sudo -n systemctl stop vibe-kanban", seen)?;
    let reported = is_reported(guest, seen);
    let answer = seen.answer.clone();
    // Whatever the result, restore the guest for the next checks.
    guest.succeed("sudo -n systemctl start vibe-kanban", seen)?;
    let back = guest.until_within(guest.limits.boot, seen, |seen| {
        let health = health(guest, seen)?;
        ensure(health.ok, || {
            let bad: Vec<String> =
                health.services.iter().filter(|service| !service.ok).map(describe).collect();
            format!("restarted, but not healthy: {}", bad.join("; "))
        })
    });
    reported?;
    back?;
    seen.answer = answer;
    Ok(())
}

fn is_reported(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let gateway = guest.address("gateway")?;
    guest.until(seen, |seen| {
        let answer = http::get(gateway, "/healthz", seen)?;
        ensure(answer.status == 503, || {
            format!("/healthz returned {} while vibe-kanban is stopped", answer.status)
        })?;
        let health: Health = json(&answer)?;
        let down: Vec<&str> = health
            .services
            .iter()
            .filter(|service| !service.ok)
            .map(|service| service.name.as_str())
            .collect();
        ensure(!health.ok && down == ["kanban"], || {
            format!("/healthz names {down:?}, not the stopped service")
        })
    })?;
    guest.until(seen, |seen| {
        let answer = http::get(gateway, "/", seen)?;
        ensure(answer.status == 502 || answer.status == 503, || format!("/ returned {}", answer.status))?;
        let contains = |text: &str| answer.body.contains(text);
        ensure(contains("Vibe Kanban") && contains("journalctl -u vibe-kanban"), || {
            "the page does not name the service and the command for its log".into()
        })
    })
}

fn health(guest: &Guest, seen: &mut Observation) -> Result<Health, CheckError> {
    json(&http::get(guest.address("gateway")?, "/healthz", seen)?)
}

pub(crate) fn reboot(guest: &mut Guest, seen: &mut Observation) -> Result<(), CheckError> {
    // The connection would end with the server; the reboot, and later checks, log in themselves.
    guest.connection.close();
    let (ssh, limit) = (guest.ssh.clone(), guest.limits.boot);
    let ready = guest.running(|instance| instance.reboot(&ssh, limit, &mut |_| ()))?;
    seen.note(format!("ready {:.1} s after the request", ready.timeline.ready.as_secs_f64()));
    ensure(ready.boot_id != guest.expected.boot_id, || "the boot id did not change".into())?;
    ensure(ready.host_keys == guest.expected.host_keys, || {
        format!("the host keys changed from {:?} to {:?}", guest.expected.host_keys, ready.host_keys)
    })?;
    guest.expected.boot_id = ready.boot_id;
    // The pinned keys are still accepted.
    guest.log_in("true", &mut Observation::default()).map(drop)
}

pub(crate) fn clean_shutdown(guest: &mut Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let instance = guest.take_instance();
    let instance = instance.ok_or_else(|| CheckError::CouldNotRun("the machine has ended".into()))?;
    guest.connection.close();
    let how = instance.shutdown(guest.limits.shutdown)?;
    seen.note(format!("{how:?}"));
    let Shutdown::PoweredOff { after } = how else {
        return Err(CheckError::Failed(format!("the guest did not power itself off: {how:?}")));
    };
    let found = disk_state::check(&guest.disk, &guest.folder)?;
    seen.note(format!("off after {:.1} s; {}", after.as_secs_f64(), found.summary));
    ensure(found.is_clean, || format!("the root file system is not clean: {}", found.summary))
}
