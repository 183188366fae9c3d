//! The file of refused rows, beside the file they came from.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::cell::Refusal;
use super::feed::Chunk;
use super::header::REJECTED;

/// Writes refused rows with place and reason before their original cells. The file is made with the first of them,
/// and can itself be imported once the rows are corrected.
pub struct Rejected {
    path: PathBuf,
    header: Vec<u8>,
    out: Option<BufWriter<File>>,
    count: u64,
}

impl Rejected {
    /// For the refused rows of the file at `path`, which has the header `header`.
    pub fn beside(path: &Path, header: &[u8]) -> Self {
        Self {
            path: rejected_path(path),
            header: header.to_vec(),
            out: None,
            count: 0,
        }
    }

    /// Adds a chunk's refused rows in the order of the file.
    pub fn add(&mut self, chunk: &Chunk, mut refused: Vec<(u64, Refusal)>) -> io::Result<()> {
        refused.sort_by_key(|(line, _)| *line);
        for (line, refusal) in refused {
            self.write(line, &refusal, chunk.raw(line))?;
        }
        Ok(())
    }

    fn write(&mut self, line: u64, refusal: &Refusal, raw: &[u8]) -> io::Result<()> {
        if self.out.is_none() {
            let mut out = BufWriter::new(File::create(&self.path)?);
            writeln!(
                out,
                "{},{}",
                REJECTED.join(","),
                String::from_utf8_lossy(&self.header)
            )?;
            self.out = Some(out);
        }
        let Some(out) = &mut self.out else { return Ok(()) };
        write!(
            out,
            "{line},{},{},",
            quoted(&refusal.field),
            quoted(&refusal.reason)
        )?;
        out.write_all(raw)?;
        out.write_all(b"\n")?;
        self.count += 1;
        Ok(())
    }

    /// How many rows were refused, and the file that holds them, if any.
    pub fn finish(mut self) -> io::Result<(u64, Option<PathBuf>)> {
        let Some(out) = &mut self.out else {
            return Ok((0, None));
        };
        out.flush()?;
        Ok((self.count, Some(self.path)))
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// `people.csv` has its refused rows in `people.rejected.csv`.
fn rejected_path(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
        path.with_extension("rejected.csv")
    } else {
        let mut name = path.as_os_str().to_owned();
        name.push(".rejected.csv");
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_beside_the_file() {
        assert_eq!(
            rejected_path(Path::new("in/people.csv")),
            Path::new("in/people.rejected.csv")
        );
        assert_eq!(
            rejected_path(Path::new("people.CSV")),
            Path::new("people.rejected.csv")
        );
        assert_eq!(
            rejected_path(Path::new("people")),
            Path::new("people.rejected.csv")
        );
        assert_eq!(
            rejected_path(Path::new("people.rejected.csv")),
            Path::new("people.rejected.rejected.csv")
        );
    }
}
