//! Templates as their author wrote them: read from a directory, kept as JSON.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{limits, registered};
use crate::config::{Problem, source::Source};
use crate::domain::registered::RegisteredText;

/// The names of the parts, in the order they are reported.
pub const PARTS: [&str; 5] = ["subject", "html", "text", "sms", "task"];

/// Everything an author wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSet {
    /// Templates by name.
    pub templates: BTreeMap<String, TemplateSource>,
    /// What templates share.
    pub shared: Shared,
}

/// One template in all its languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSource {
    /// The directory's name.
    pub name: String,
    /// Parts by locale tag.
    pub locales: BTreeMap<String, Parts>,
}

/// The parts of one template in one language.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Subject of the mail, one line.
    pub subject: Option<String>,
    /// Body of the mail; goes into a layout.
    pub html: Option<String>,
    /// Plain body; made from the HTML when absent.
    pub text: Option<String>,
    /// Text message.
    pub sms: Option<String>,
    /// Task for the owner: the first line is its title.
    pub task: Option<String>,
    /// What mainland providers registered of the text message, by the name of the sender or provider (`sms.toml`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub registered: BTreeMap<String, RegisteredText>,
}

/// What templates share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Layouts by name.
    pub layouts: BTreeMap<String, String>,
    /// Partials by `name`, or by `locale/name` where one language has its own.
    pub partials: BTreeMap<String, String>,
}

impl Parts {
    /// The source of a part by its name.
    #[must_use]
    pub fn get(&self, part: &str) -> Option<&str> {
        match part {
            "subject" => self.subject.as_deref(),
            "html" => self.html.as_deref(),
            "text" => self.text.as_deref(),
            "sms" => self.sms.as_deref(),
            "task" => self.task.as_deref(),
            _ => None,
        }
    }

    fn slot(&mut self, part: &str) -> Option<&mut Option<String>> {
        match part {
            "subject" => Some(&mut self.subject),
            "html" => Some(&mut self.html),
            "text" => Some(&mut self.text),
            "sms" => Some(&mut self.sms),
            "task" => Some(&mut self.task),
            _ => None,
        }
    }
}

impl TemplateSet {
    /// Reads `<name>/<locale>/<part>.hbs`, `<name>/<locale>/sms.toml`, `_layouts/<name>.hbs`, `_partials/<name>.hbs` and
    /// `_partials/<locale>/<name>.hbs` below `root`. Files that fit nowhere are problems, not silence; names that start
    /// with a dot are passed over.
    pub fn load(root: &Path) -> Result<Self, Vec<Problem>> {
        let mut set = Self::default();
        let mut problems = Vec::new();
        let mut files = Vec::new();
        if let Err(error) = list(root, &mut Vec::new(), &mut files) {
            return Err(vec![Problem::of_file(
                root.display().to_string(),
                format!("cannot read the directory: {error}"),
            )]);
        }
        for (steps, path) in files {
            let file = steps.join("/");
            match read(&path) {
                Ok(text) => {
                    if let Err(problem) = set.place(&file, &steps, text) {
                        problems.push(problem);
                    }
                }
                Err(error) => problems.push(Problem::of_file(&file, format!("cannot be read: {error}"))),
            }
        }
        if problems.is_empty() {
            Ok(set)
        } else {
            Err(problems)
        }
    }

    fn parts(&mut self, name: &str, locale: &str) -> &mut Parts {
        let template = self.templates.entry(name.to_owned()).or_default();
        name.clone_into(&mut template.name);
        template.locales.entry(locale.to_owned()).or_default()
    }

    fn place(&mut self, file: &str, steps: &[String], text: String) -> Result<(), Problem> {
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let Some((last, folders)) = steps.split_last() else {
            return Ok(());
        };
        if let ([name, locale], registered::FILE) = (folders, *last)
            && !name.starts_with('_')
        {
            let texts = Source::of(file, &text).and_then(|source| source.read())?;
            self.parts(name, locale).registered = texts;
            return Ok(());
        }
        let Some(stem) = last.strip_suffix(".hbs") else {
            return Err(Problem::of_file(file, "only .hbs files and sms.toml belong here"));
        };
        match folders {
            ["_layouts"] => {
                self.shared.layouts.insert(stem.to_owned(), text);
            }
            ["_partials"] => {
                self.shared.partials.insert(stem.to_owned(), text);
            }
            ["_partials", locale] => {
                self.shared.partials.insert(format!("{locale}/{stem}"), text);
            }
            [name, locale] if !name.starts_with('_') => {
                let Some(slot) = self.parts(name, locale).slot(stem) else {
                    return Err(
                        Problem::of_file(file, format!("unknown part `{stem}`")).suggest_near(stem, PARTS)
                    );
                };
                *slot = Some(text);
            }
            _ => {
                return Err(Problem::of_file(
                    file,
                    "fits nowhere: expected <name>/<locale>/<part>.hbs, _layouts/<name>.hbs or _partials/[<locale>/]<name>.hbs",
                ));
            }
        }
        Ok(())
    }
}

/// Every file below `dir` in name order, with the path steps that led to it.
fn list(dir: &Path, steps: &mut Vec<String>, out: &mut Vec<(Vec<String>, PathBuf)>) -> io::Result<()> {
    let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        steps.push(name);
        // Four steps fit nowhere already; going deeper would only follow a loop of links.
        if entry.path().is_dir() && steps.len() < 4 {
            list(&entry.path(), steps, out)?;
        } else {
            out.push((steps.clone(), entry.path()));
        }
        steps.pop();
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > limits::SOURCE_BYTES as u64 {
        return Err(io::Error::other(format!(
            "{size} bytes; a template file may have {}",
            limits::SOURCE_BYTES
        )));
    }
    let text = fs::read_to_string(path)?;
    Ok(text
        .strip_prefix('\u{feff}')
        .unwrap_or(&text)
        .replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_directory_is_read_and_survives_json() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "hello/en/subject.hbs", "Hello\r\n");
        write(dir.path(), "hello/zh-Hans/sms.hbs", "\u{feff}你好");
        write(dir.path(), "_layouts/plain.hbs", "{{body}}");
        write(dir.path(), "_partials/footer.hbs", "all");
        write(dir.path(), "_partials/zh-Hans/footer.hbs", "中");
        write(dir.path(), ".DS_Store", "x");
        let set = TemplateSet::load(dir.path()).unwrap();
        let hello = &set.templates["hello"];
        assert_eq!(hello.name, "hello");
        assert_eq!(hello.locales["en"].subject.as_deref(), Some("Hello\n"));
        assert_eq!(hello.locales["zh-Hans"].sms.as_deref(), Some("你好"));
        assert_eq!(set.shared.partials["zh-Hans/footer"], "中");
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<TemplateSet>(&json).unwrap(), set);
    }

    #[test]
    fn files_that_fit_nowhere_are_named() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "hello/en/subjct.hbs", "Hello");
        write(dir.path(), "hello/html.hbs", "x");
        write(dir.path(), "hello/en/notes.txt", "x");
        let lines: Vec<String> = TemplateSet::load(dir.path())
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("only .hbs"), "{lines:?}");
        assert!(lines[1].contains("did you mean `subject`?"), "{lines:?}");
        assert!(lines[2].contains("fits nowhere"), "{lines:?}");
    }
}
