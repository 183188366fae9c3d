//! The folders of real data that some tests read.

use std::path::PathBuf;

/// The text of one corpus file, or `None` with a printed reason where the corpora are absent. What is no UTF-8 is replaced.
pub(crate) fn read(name: &str) -> Option<String> {
    let root = std::env::var_os("KITH_CORPORA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"),
        PathBuf::from,
    );
    match std::fs::read(root.join(name)) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(reason) => {
            println!("skipped: corpus {name}: {reason}");
            None
        }
    }
}

/// The rows of a tab separated corpus file below its header line.
pub(crate) fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| line.split('\t').collect())
}
