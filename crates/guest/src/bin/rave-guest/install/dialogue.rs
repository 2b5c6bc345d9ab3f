//! Asks on the console in plain lines, which also work on a serial line.

use super::answers::{Answers, Then, check_host_name, refused};
use super::disk::{Content, Disk};
use super::system;
use crate::error::Error;
use crate::files::failed;
use crate::spawn;
use rave_guest::config::GuestConfig;
use std::io::{self, BufRead as _, Write as _};
use std::time::Duration;

/// Asks for the missing answers.
pub(super) fn ask(given: Answers, disks: &[Disk], config: &GuestConfig) -> Result<Answers, Error> {
    let mut answers = given;
    let disk = which(disks)?;
    let path = disk.path.display().to_string();
    // Its size and use are checked again when it is opened for writing.
    if disk.open(0)?.content()? == Content::Data {
        println!("There is data on {path}. Installing erases all of it.");
        answers.erase = line("Type erase to continue")? == "erase";
        if answers.erase {
            answers.erase_disk = Some(line(&format!("Type the disk's name, {path}, to confirm"))?);
        }
    }
    answers.disk = Some(path);
    if system::takes_names() {
        if answers.host_name.is_none() {
            answers.host_name = name(&format!("Host name [{}]", config.host_name), check_host_name)?;
        }
        if answers.user.is_none() {
            answers.user = name(&format!("User [{}]", config.user), |name| system::check_user(name, config))?;
        }
    }
    let user = answers.user.as_deref().unwrap_or(&config.user);
    if answers.password.is_none() {
        answers.password = password(user)?;
    }
    if answers.key.is_none() {
        let key = line(&format!("Public SSH key that may log in as {user} [none]"))?;
        answers.key = Some(key).filter(|key| !key.is_empty());
    }
    answers.then = Then::Reboot;
    Ok(answers)
}

/// Waits until somebody has removed the medium.
pub(super) fn end(then: Then) -> Result<Then, Error> {
    line("Press Enter to restart").map(|_| then)
}

fn which(disks: &[Disk]) -> Result<&Disk, Error> {
    if disks.is_empty() {
        return Err(refused("this machine has no disk besides the medium", "add one, then start again"));
    }
    for (number, disk) in (1..).zip(disks) {
        println!("  {number}: {}", disk.describe());
    }
    until(|| {
        let text = line("Number of the disk to install to")?;
        let chosen = text.parse::<usize>().ok().and_then(|number| disks.get(number.wrapping_sub(1)));
        chosen.ok_or_else(|| refused(format!("there is no disk {text:?}"), "type a number of the list"))
    })
}

/// An empty line keeps the image's name.
fn name(question: &str, check: impl Fn(String) -> Result<String, Error>) -> Result<Option<String>, Error> {
    until(|| {
        let name = line(question)?;
        if name.is_empty() { Ok(None) } else { check(name).map(Some) }
    })
}

fn password(user: &str) -> Result<Option<String>, Error> {
    until(|| {
        let first = hidden(&format!("Password of {user} [as in the image]"))?;
        if first.is_empty() {
            return Ok(None);
        }
        if hidden("The same again")? == first {
            Ok(Some(first))
        } else {
            Err(refused("the passwords differ", "type it twice"))
        }
    })
}

/// Asks again if an answer is refused; the end of the input ends it.
fn until<T>(mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        match ask() {
            Err(error @ Error::Refused { .. }) => println!("{error}"),
            other => return other,
        }
    }
}

fn line(question: &str) -> Result<String, Error> {
    print!("{question}: ");
    let failed = || failed("read", "the console");
    io::stdout().flush().map_err(failed())?;
    let mut text = String::new();
    if io::stdin().lock().read_line(&mut text).map_err(failed())? == 0 {
        return Err(failed()(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(text.trim().to_owned())
}

/// A line that the terminal does not show.
fn hidden(question: &str) -> Result<String, Error> {
    let echo = |mode: &str| spawn::output("stty", &["-F", "/dev/console", mode], Duration::from_secs(10));
    // Showing it is better than not asking.
    let _ = echo("-echo");
    let answer = line(question);
    let _ = echo("echo");
    println!();
    answer
}
