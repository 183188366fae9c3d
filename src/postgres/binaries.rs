//! Where the Postgres programs are: `KITH_PG_BIN`, else the newest installation in the usual places.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::PostgresError;

/// The oldest major version kith is tested with.
pub(super) const MINIMUM_MAJOR: u32 = 15;

/// One installation's `bin` directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// The directory with `initdb` and `postgres`.
    pub dir: PathBuf,
    /// The major version.
    pub major: u32,
}

impl Binaries {
    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Finds the installation to use: the one of `wanted` (the major version that made the data), else the newest.
pub(super) fn find(data: &Path, wanted: Option<u32>) -> Result<Binaries, PostgresError> {
    if let Some(dir) = env::var_os("KITH_PG_BIN").filter(|v| !v.is_empty()) {
        let dir = PathBuf::from(dir);
        let found = inspect(&dir).map_err(|why| PostgresError::BadBinaries { dir, why })?;
        return choose(&[found], data, wanted);
    }
    let mut found: Vec<Binaries> = Vec::new();
    for dir in usual_places() {
        if let Ok(binaries) = inspect(&dir)
            && !found.contains(&binaries)
        {
            found.push(binaries);
        }
    }
    choose(&found, data, wanted)
}

/// The rule of choice, apart from the file system. Places come in order of preference; a newer version wins.
fn choose(found: &[Binaries], data: &Path, wanted: Option<u32>) -> Result<Binaries, PostgresError> {
    let list = found
        .iter()
        .map(|b| format!("{} in {}", b.major, b.dir.display()))
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(major) = wanted {
        let found_text = if list.is_empty() { "none".to_owned() } else { list };
        return found
            .iter()
            .find(|b| b.major == major)
            .cloned()
            .ok_or_else(|| PostgresError::VersionGone {
                dir: data.to_owned(),
                major,
                found: found_text,
            });
    }
    let newest = found
        .iter()
        .filter(|b| b.major >= MINIMUM_MAJOR)
        .rev()
        .max_by_key(|b| b.major);
    newest.cloned().ok_or_else(|| PostgresError::NotFound {
        minimum: MINIMUM_MAJOR,
        seen: if list.is_empty() {
            String::new()
        } else {
            format!(" (only {list})")
        },
    })
}

/// Checks that a directory holds both programs and asks the server for its version.
fn inspect(dir: &Path) -> Result<Binaries, String> {
    for name in ["initdb", "postgres"] {
        if !dir.join(name).is_file() {
            return Err(format!("there is no `{name}` in it"));
        }
    }
    let output = Command::new(dir.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("`postgres --version` did not run: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let major = major_of(&text).ok_or_else(|| format!("`postgres --version` said {:?}", text.trim()))?;
    Ok(Binaries {
        dir: dir.to_owned(),
        major,
    })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15; `18beta1` is 18.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    places.extend(children("/usr/lib/postgresql", "", "bin")); // Debian, Ubuntu
    places.extend(children("/usr", "pgsql-", "bin")); // the RPM packages
    places.extend(children("/opt/homebrew/opt", "postgresql@", "bin")); // Homebrew, Apple silicon
    places.extend(children("/usr/local/opt", "postgresql@", "bin")); // Homebrew, Intel
    places.extend(children(
        "/Applications/Postgres.app/Contents/Versions",
        "",
        "bin",
    ));
    if let Ok(output) = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .output()
        && output.status.success()
    {
        places.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    if let Some(path) = env::var_os("PATH") {
        places.extend(env::split_paths(&path).filter(|p| p.is_absolute()));
    }
    places
}

/// `parent/{prefix}*/leaf` for every directory that exists.
fn children(parent: &str, prefix: &str, leaf: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(prefix))
        .map(|e| e.path().join(leaf))
        .filter(|p| p.is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(major: u32, dir: &str) -> Binaries {
        Binaries {
            dir: PathBuf::from(dir),
            major,
        }
    }

    #[test]
    fn the_major_version_is_read_from_every_form() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("postgres: command not found"), None);
    }

    #[test]
    fn the_newest_wins_and_the_first_place_among_equals() {
        let found = [at(15, "/a"), at(17, "/b"), at(17, "/c"), at(9, "/d")];
        assert_eq!(choose(&found, Path::new("/data"), None).unwrap(), at(17, "/b"));
    }

    #[test]
    fn the_data_decides_the_version() {
        let found = [at(15, "/a"), at(17, "/b")];
        assert_eq!(
            choose(&found, Path::new("/data"), Some(15)).unwrap(),
            at(15, "/a")
        );
        let gone = choose(&found, Path::new("/data"), Some(16))
            .unwrap_err()
            .to_string();
        assert!(
            gone.contains("/data") && gone.contains("postgresql-16") && gone.contains("17 in /b"),
            "{gone}"
        );
    }

    #[test]
    fn nothing_found_names_the_ways_out() {
        let none = choose(&[], Path::new("/data"), None).unwrap_err().to_string();
        for way in [
            "apt-get install postgresql",
            "brew install",
            "KITH_PG_BIN",
            "DATABASE_URL",
        ] {
            assert!(none.contains(way), "{none}");
        }
        let old = choose(&[at(12, "/old")], Path::new("/data"), None)
            .unwrap_err()
            .to_string();
        assert!(old.contains("12 in /old"), "{old}");
    }
}
