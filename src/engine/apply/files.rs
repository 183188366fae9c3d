//! The files of a configuration directory.

use std::fs;
use std::path::Path;

use crate::config::Problem;
use crate::config::problem::nearest;

/// No file of a configuration is larger, in bytes.
const LARGEST: u64 = 1 << 20;
const FILES: [&str; 3] = ["kith.toml", "grading.toml", "retention.toml"];
const FOLDERS: [&str; 2] = ["cadences", "calendars"];

/// A file and what it says.
pub(super) struct ConfigFile {
    /// As messages name it.
    pub(super) path: String,
    /// The name without its ending.
    pub(super) stem: String,
    /// What it says.
    pub(super) text: String,
}

/// The TOML files of a folder by name; a folder that is not there has none.
pub(super) fn folder(dir: &Path, problems: &mut Vec<Problem>) -> Vec<ConfigFile> {
    let mut files: Vec<ConfigFile> = entries(dir, problems)
        .into_iter()
        .filter(|name| is_toml(name))
        .filter_map(|name| one(&dir.join(name), problems))
        .collect();
    files.sort_by(|a, b| a.stem.cmp(&b.stem));
    files
}

/// One file, or none where it is not there.
pub(super) fn one(path: &Path, problems: &mut Vec<Problem>) -> Option<ConfigFile> {
    let name = path.display().to_string();
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Ok(about) if about.len() > LARGEST => {
            problems.push(Problem::of_file(name, format!("is larger than {LARGEST} bytes")));
            return None;
        }
        _ => {}
    }
    match fs::read_to_string(path) {
        Ok(text) => Some(ConfigFile {
            path: name,
            stem,
            text,
        }),
        Err(error) => {
            problems.push(Problem::of_file(name, format!("cannot be read: {error}")));
            None
        }
    }
}

/// Files and folders that nothing reads are faults, not silence.
pub(super) fn strangers(dir: &Path, problems: &mut Vec<Problem>) {
    for name in entries(dir, problems) {
        let path = dir.join(&name);
        let known: &[&str] = if path.is_dir() { &FOLDERS } else { &FILES };
        if known.contains(&name.as_str()) || !path.is_dir() && !is_toml(&name) {
            continue;
        }
        let problem = Problem::of_file(path.display().to_string(), "nothing reads this");
        problems.push(problem.suggest(nearest(&name, known.iter().copied())));
    }
}

/// Names in a folder but those that begin with a dot.
fn entries(dir: &Path, problems: &mut Vec<Problem>) -> Vec<String> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            let names =
                entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
            names.filter(|name| !name.starts_with('.')).collect()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            problems.push(Problem::of_file(
                dir.display().to_string(),
                format!("cannot be read: {error}"),
            ));
            Vec::new()
        }
    }
}

fn is_toml(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "toml")
}
