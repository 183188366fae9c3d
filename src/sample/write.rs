//! The six import files.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::SampleCompany;

impl SampleCompany {
    /// Writes the six files into `dir`, which is made when absent, over older ones of the same names. Answers what
    /// kind of rows each holds and where it lies, in the order in which they are to be imported.
    pub fn write_csv(&self, dir: &Path) -> io::Result<[(&'static str, PathBuf); 6]> {
        std::fs::create_dir_all(dir)?;
        Ok([
            file(dir, "owners", &self.owners)?,
            file(dir, "organisations", &self.organisations)?,
            file(dir, "campaigns", &self.campaigns)?,
            file(dir, "contacts", &self.contacts)?,
            file(dir, "leads", &self.leads)?,
            file(dir, "purchases", &self.purchases)?,
        ])
    }
}

fn file<Row: Serialize>(dir: &Path, kind: &'static str, rows: &[Row]) -> io::Result<(&'static str, PathBuf)> {
    let path = dir.join(kind).with_extension("csv");
    let mut csv = csv::Writer::from_path(&path)?;
    for row in rows {
        csv.serialize(row)?;
    }
    csv.flush()?;
    Ok((kind, path))
}
