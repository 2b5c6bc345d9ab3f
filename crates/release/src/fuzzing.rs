//! One function for each parser of untrusted input, for arbitrary bytes: for the fuzz targets in `fuzz/`, and for a
//! test that feeds them mutated samples. They panic if a parser does, or if its result is inconsistent.

#![expect(clippy::missing_panics_doc, reason = "to panic is what they are for")]

use camino::{Utf8Component, Utf8Path};

use crate::cut::ReleasePart;
use crate::dsse::Envelope;
use crate::inputs;
use crate::key_statement::{self, KeyStatement};
use crate::leak;
use crate::manifest::Manifest;
use crate::patch;
use crate::relative_path::RelativePath;
use crate::sbom::diff;
use crate::signers;
use crate::sshsig::Signature;
use crate::statement::Statement;
use crate::sums::Sums;

/// Feeds a parser.
pub type Feed = fn(&[u8]);

/// The parsers by name: also the names of the fuzz targets.
pub const PARSERS: &[(&str, Feed)] = &[
    ("release_envelope", release_envelope),
    ("release_signature", release_signature),
    ("release_manifest", release_manifest),
    ("release_sums", release_sums),
    ("release_statement", release_statement),
    ("release_key_statements", release_key_statements),
    ("release_signers", release_signers),
    ("release_bill", release_bill),
    ("release_part", release_part),
    ("release_inputs", release_inputs),
    ("release_patch", release_patch),
    ("release_packed", release_packed),
];

/// A DSSE envelope. The parsed value must round-trip.
pub fn release_envelope(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(bytes) {
        assert_eq!(Envelope::parse(envelope.to_json().as_bytes()).as_ref(), Ok(&envelope));
    }
}

/// An OpenSSH signature.
pub fn release_signature(bytes: &[u8]) {
    if let Ok(signature) = Signature::parse(bytes) {
        let _ = signature.is_by(&signature.claimed, b"message");
    }
}

/// The manifest of a release. The parsed value must round-trip.
pub fn release_manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        for file in manifest.files() {
            assert!(stays_inside(&file.name));
        }
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).as_ref(), Ok(&manifest));
    }
}

/// A list of digests. It must round-trip exactly, except for the order of its lines.
pub fn release_sums(bytes: &[u8]) {
    if let Ok(sums) = Sums::parse(&String::from_utf8_lossy(bytes)) {
        assert_eq!(Sums::parse(&sums.render()).as_ref(), Ok(&sums));
    }
}

/// An in-toto statement.
pub fn release_statement(bytes: &[u8]) {
    if let Ok(statement) = Statement::parse(bytes) {
        let _ = statement.finished();
        Statement::parse(&statement.to_bytes()).expect("what is written is a statement");
    }
}

/// Statements about keys.
pub fn release_key_statements(bytes: &[u8]) {
    for envelope in key_statement::parse_file(bytes).unwrap_or_default() {
        if let Ok(statement) = KeyStatement::of(&envelope) {
            let _ = statement.check(&envelope, &[]);
        }
    }
}

/// `allowed_signers`.
pub fn release_signers(bytes: &[u8]) {
    if let Ok(signers) = signers::parse(&String::from_utf8_lossy(bytes)) {
        for signer in signers {
            let _ = signer.may_sign(0);
        }
    }
}

/// An archive of inputs. If it is accepted, no path leads out of the folder.
pub fn release_inputs(bytes: &[u8]) {
    let mut taken = 0;
    let index = inputs::read(&mut &*bytes, &mut |entry, _| {
        taken += 1;
        assert!(stays_inside(&entry.path));
        Ok(())
    });
    if let Ok(index) = index {
        assert_eq!(index.inputs.len(), taken);
    }
}

/// A patch for a disk of 64 KiB. The result must have exactly the declared size.
pub fn release_patch(bytes: &[u8]) {
    let mut from = bytes;
    let Ok(header) = patch::read_header(&mut from) else { return };
    let base = vec![7_u8; 1 << 16];
    // Larger ones are bounded only by memory, and take long.
    if header.target.size > 1 << 22 || header.chunk > 1 << 22 || header.base.size > base.len() as u64 {
        return;
    }
    let mut at = 0;
    let made = patch::apply(&header, &mut from, &base[..], &mut |start, _| {
        assert_eq!(start, at);
        at += 4096;
        Ok(())
    });
    assert!(at <= header.target.size);
    assert!(made.is_err() || at == header.target.size);
}

/// A file in an image that may be compressed, or a cpio archive.
pub fn release_packed(bytes: &[u8]) {
    let _ = leak::unpack_only(bytes);
}

/// A bill of materials.
pub fn release_bill(bytes: &[u8]) {
    if let Ok(packages) = diff::packages(bytes) {
        assert!(diff::compare(&packages, &packages).is_empty());
    }
}

/// The description of a part of a release.
pub fn release_part(bytes: &[u8]) {
    if let Ok(part) = ReleasePart::parse("part".into(), bytes) {
        let _ = part.size();
        assert!(part.profiles().count() > 0);
    }
}

/// Judged by path components: `a..` is a file name, `..` is not.
fn stays_inside(path: &RelativePath) -> bool {
    Utf8Path::new(path.as_str()).components().all(|part| matches!(part, Utf8Component::Normal(_)))
}
