//! `CycloneDX` 1.6 as JSON (ECMA-424).

use serde_json::{Value, json};

use super::{Algorithm, Component, Inventory};
use crate::statement::rfc3339;

/// Its name in the manifest.
pub const KIND: &str = "cyclonedx-1.6";
/// The extension of its files.
pub const ENDING: &str = ".cdx.json";

/// The bill's text.
#[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
pub fn render(inventory: &Inventory) -> String {
    let components: Vec<Value> = inventory.components.iter().map(component).collect();
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", inventory.uuid("cyclonedx")),
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(inventory.epoch.cast_signed()),
            "tools": {"components": [{
                "type": "application", "name": "rave", "version": env!("CARGO_PKG_VERSION")
            }]},
            "component": {
                "type": "operating-system", "bom-ref": inventory.name,
                "name": inventory.name, "version": inventory.version
            }
        },
        "components": components,
        "dependencies": [{
            "ref": inventory.name,
            "dependsOn": inventory.components.iter().map(|one| &one.purl).collect::<Vec<_>>()
        }]
    });
    serde_json::to_string_pretty(&bill).expect("plain data") + "\n"
}

fn component(component: &Component) -> Value {
    let (group, name) = match component.name.rsplit_once('/') {
        Some((group, name)) => (Some(group), name),
        None => (None, component.name.as_str()),
    };
    let mut value = json!({
        "type": "library",
        "bom-ref": component.purl,
        "name": name,
        "version": component.version,
        "purl": component.purl,
    });
    if let Some(group) = group {
        value["group"] = group.into();
    }
    if !component.hashes.is_empty() {
        let hashes = component
            .hashes
            .iter()
            .map(|hash| json!({"alg": name_of(hash.algorithm), "content": hash.value}));
        value["hashes"] = hashes.collect();
    }
    if let Some(licence) = &component.licence {
        value["licenses"] = json!([{"expression": licence}]);
    }
    value
}

fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha1 => "SHA-1",
        Algorithm::Sha256 => "SHA-256",
        Algorithm::Sha512 => "SHA-512",
    }
}
