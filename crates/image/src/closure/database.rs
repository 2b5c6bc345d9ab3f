//! The store's database: what nix itself creates from a registration, except for fixed times, and without the files
//! that a running nix keeps beside it.

use camino::Utf8Path;
use rusqlite::{Connection, OpenFlags, params};

use super::registration::{Registration, ValidPath};
use crate::error::Error;

/// The version of the schema, as nix keeps it in the file `schema` beside the database (libstore/local-store.hh,
/// `nixSchemaVersion`).
pub const SCHEMA: &str = "10";

/// Nix's own schema (libstore/schema.sql): it does not create existing tables again, and never changes them.
const TABLES: &str = include_str!("schema.sql");

/// The registration time of every path, seconds since 1970: the timestamp of files in a store.
const REGISTERED: i64 = 1;

/// Writes the database of a store with exactly these paths. The same paths give the same bytes.
pub(super) fn write(registration: &Registration, file: &Utf8Path) -> Result<(), Error> {
    fill(registration, file).map_err(|error| Error::Input {
        what: "the store's database".into(),
        detail: format!("cannot write {file}: {error}"),
    })
}

fn fill(registration: &Registration, file: &Utf8Path) -> rusqlite::Result<()> {
    let mut database = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // No journal: an unfinished file is discarded. Freed space is zeroed, so that every byte is deterministic.
    database
        .execute_batch("pragma page_size = 4096; pragma journal_mode = off; pragma secure_delete = on;")?;
    let transaction = database.transaction()?;
    transaction.execute_batch(TABLES)?;
    {
        let mut path = transaction.prepare(
            "insert into ValidPaths (path, hash, registrationTime, deriver, narSize) values (?, ?, ?, ?, ?)",
        )?;
        for valid in registration.paths() {
            let hash = format!("sha256:{}", valid.nar_hash);
            let size = valid.nar_size.cast_signed();
            let deriver = valid.deriver.as_ref().map(super::store_path::StorePath::as_str);
            path.execute(params![valid.path.as_str(), hash, REGISTERED, deriver, size])?;
        }
        let mut reference = transaction.prepare("insert into Refs (referrer, reference) values (?, ?)")?;
        for (place, ValidPath { references, .. }) in registration.paths().iter().enumerate() {
            for of in references {
                reference.execute([number(place), number(*of)])?;
            }
        }
    }
    transaction.commit()?;
    database.execute_batch("vacuum")?;
    database.close().map_err(|(_, error)| error)
}

/// The database's identifier of the path at this index: they count from one.
fn number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX).saturating_add(1)
}
