//! The shipped `config/` and `templates/`, compiled in, so that a lone binary is enough for a first run.

use std::io;
use std::path::Path;

use rust_embed::RustEmbed;

/// The commented reference of every key, which is also the defaults.
pub const KITH_TOML: &str = include_str!("../../config/kith.toml");

/// `config/`.
#[derive(RustEmbed)]
#[folder = "config/"]
#[include = "*.toml"]
pub struct Config;

/// `templates/`.
#[derive(RustEmbed)]
#[folder = "templates/"]
pub struct Templates;

/// Writes the shipped files under a directory, as `config/` and `templates/`.
pub fn unpack(into: &Path) -> io::Result<()> {
    write_all::<Config>(&into.join("config"))?;
    write_all::<Templates>(&into.join("templates"))
}

fn write_all<E: RustEmbed>(into: &Path) -> io::Result<()> {
    std::fs::create_dir_all(into)?;
    for name in E::iter() {
        let Some(file) = E::get(&name) else { continue };
        let path = into.join(name.as_ref());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, file.data)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_it_is_what_was_shipped() {
        let dir = tempfile::tempdir().unwrap();
        unpack(dir.path()).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("config/kith.toml")).unwrap(),
            KITH_TOML
        );
    }
}
