//! `verify` compared with `sha256sum` on the same bytes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::time::Instant;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use rave_release::key::SigningKey;
use rave_release::signers::Signer;
use rave_release::trust::{TrustStore, Trusted};
use rave_release::{sshsig, sums, verify};

use crate::bench::peer;
use crate::bench::{Report, Unit};
use rave::cmd::release::now;
use rave::ui::Ui;

/// 1 / 0.9: at least 0.9 times as fast.
const TARGET: f64 = 1.0 / 0.9;

/// Bytes of the large file: more than processor caches, less than memory.
const SIZE: u64 = 1 << 30;

/// How often each is measured.
const RUNS: usize = 5;

/// Adds the row. It verifies a signed list of one large file, which takes all the time.
pub(crate) fn measure(report: &mut Report, place: &Utf8Path, ui: &Ui) -> anyhow::Result<()> {
    ui.note("bench: verify beside sha256sum");
    let folder = place.join("release");
    let key = SigningKey::in_memory("bench")?;
    let file = fill(&folder)?;
    let list = peer_list(&folder, &file)?;
    fs::write(folder.join(sums::FILE), &list)?;
    fs::write(folder.join(sums::SIGNATURE), sshsig::sign(&key, list.as_bytes())?)?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        // Each is first alternately, and both read the file from memory.
        for turn in 0..2 {
            io::copy(&mut File::open(&file)?, &mut io::sink())?;
            if (run + turn).is_multiple_of(2) {
                let list = ["sha256sum", "--strict", "--check", sums::FILE];
                floor.push(peer::time(&list, Some(&folder))?.as_secs_f64());
            } else {
                let started = Instant::now();
                verified(&folder, &key, place)?;
                ours.push(started.elapsed().as_secs_f64());
            }
        }
    }
    report.add_beside("verify of 1 GiB, beside sha256sum", Unit::Seconds, &ours, &floor, Some(TARGET));
    Ok(())
}

/// A file whose content favours no hash implementation.
fn fill(folder: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let path = folder.join("rave-0.0.0-bench-x86_64.qcow2");
    fs::create_dir_all(folder)?;
    let mut file = File::create(&path)?;
    let block: Vec<u8> = (0_u32..1 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for _ in 0..SIZE / block.len() as u64 {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(path)
}

fn peer_list(folder: &Utf8Path, file: &Utf8Path) -> anyhow::Result<String> {
    let digest = rave_image::digest::Digest::of_file(file)?;
    let name = file.strip_prefix(folder)?;
    Ok(format!("{digest}  {name}\n"))
}

/// Everything is valid except that the manifest is missing.
fn verified(folder: &Utf8Path, key: &SigningKey, place: &Utf8Path) -> anyhow::Result<()> {
    let mut store = TrustStore::open(&place.join("state"))?;
    let mut trusted = Trusted::new(vec![Signer::new("bench", key.public().clone())], &store);
    let request = verify::Request {
        folder,
        now: now(),
        expect: None,
        not_older_than: None,
        commit: None,
        statements: &[],
    };
    let verdict = verify::verify(&request, &mut trusted, &mut store, &|_| ());
    let row = verdict.files.first().context("nothing was verified")?;
    if verdict.signer.is_none() || !row.holds {
        bail!("the measured release does not verify: {:?}", verdict.problems.first());
    }
    Ok(())
}
