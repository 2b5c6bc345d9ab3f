//! SPDX 2.3 as JSON (ISO/IEC 5962 describes 2.2.1; 2.3 is the later specification).

use std::collections::BTreeSet;

use rave_image::digest::Digest;
use rave_image::licences;
use serde_json::{Value, json};

use super::{Algorithm, Component, Inventory};
use crate::statement::rfc3339;

/// Its name in the manifest.
pub const KIND: &str = "spdx-2.3";
/// The extension of its files.
pub const ENDING: &str = ".spdx.json";

const UNKNOWN: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-image";

/// The bill's text.
#[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
pub fn render(inventory: &Inventory) -> String {
    let image = json!({
        "SPDXID": IMAGE, "name": inventory.name, "versionInfo": inventory.version,
        "downloadLocation": UNKNOWN, "filesAnalyzed": false, "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN, "copyrightText": UNKNOWN, "supplier": UNKNOWN,
        "primaryPackagePurpose": "OPERATING-SYSTEM"
    });
    let packages: Vec<Value> =
        std::iter::once(image).chain(inventory.components.iter().map(package)).collect();
    let contains = inventory.components.iter().map(|component| relation(IMAGE, "CONTAINS", &id(component)));
    let relations: Vec<Value> =
        std::iter::once(relation(DOCUMENT, "DESCRIBES", IMAGE)).chain(contains).collect();
    let referenced: BTreeSet<String> = inventory
        .components
        .iter()
        .filter_map(|component| component.licence.as_deref())
        .flat_map(licences::references)
        .collect();
    let referenced: Vec<Value> = referenced.iter().map(|name| reference(name)).collect();
    let mut bill = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": inventory.name,
        "documentNamespace": format!("https://rave.invalid/spdx/{}-{}", inventory.name, inventory.uuid("spdx")),
        "creationInfo": {
            "created": rfc3339(inventory.epoch.cast_signed()),
            "creators": [concat!("Tool: rave-", env!("CARGO_PKG_VERSION"))]
        },
        "packages": packages,
        "relationships": relations
    });
    if !referenced.is_empty() {
        bill["hasExtractedLicensingInfos"] = referenced.into();
    }
    serde_json::to_string_pretty(&bill).expect("plain data") + "\n"
}

/// A licence that is not in SPDX's list.
fn reference(name: &str) -> Value {
    json!({
        "licenseId": name, "name": name.trim_start_matches("LicenseRef-"),
        "extractedText": "The text is in the copyright files of the packages, in /usr/share/doc of the guest."
    })
}

fn relation(from: &str, how: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": how, "relatedSpdxElement": to})
}

/// An identifier of letters and digits, derived from the package URL.
fn id(component: &Component) -> String {
    format!("SPDXRef-Package-{}", Digest::of_bytes(component.purl.as_bytes()).short())
}

fn package(component: &Component) -> Value {
    let checksums: Vec<Value> = component
        .hashes
        .iter()
        .map(|hash| json!({"algorithm": name_of(hash.algorithm), "checksumValue": hash.value}))
        .collect();
    json!({
        "SPDXID": id(component),
        "name": component.name,
        "versionInfo": component.version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "checksums": checksums,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": component.purl
        }],
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": component.licence.as_deref().unwrap_or(UNKNOWN),
        "copyrightText": UNKNOWN,
        "supplier": UNKNOWN
    })
}

fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha1 => "SHA1",
        Algorithm::Sha256 => "SHA256",
        Algorithm::Sha512 => "SHA512",
    }
}
