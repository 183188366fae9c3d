//! The documents: their commands parse, their links lead somewhere, their names exist, and the first ten minutes work.

mod tutorial;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use kith::cli::Cli;
use kith::config::Settings;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The documents, by path from the root.
fn documents() -> Vec<(String, String)> {
    let mut names: Vec<String> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
        .map(ToOwned::to_owned)
        .into();
    for entry in fs::read_dir(root().join("docs")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|e| e == "md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(root().join(&name)).unwrap();
            (name, text)
        })
        .collect()
}

/// The fenced blocks of a document whose first line after the fence says `kind`.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let (mut found, mut open): (Vec<String>, Option<(bool, String)>) = (Vec::new(), None);
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(said), None) => open = Some((said.trim() == kind, String::new())),
            (Some(_), Some((wanted, block))) => found.extend(wanted.then_some(block)),
            (None, Some((wanted, block))) => open = Some((wanted, block + line + "\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block without an end");
    found
}

/// The command lines of a shell block: here-documents and comments left out, continued lines joined.
fn command_lines(block: &str) -> Vec<String> {
    let (mut lines, mut here, mut begun) = (Vec::new(), false, String::new());
    for line in block.lines() {
        if here {
            here = line != "END";
            continue;
        }
        here = line.ends_with("<<'END'");
        match line.strip_suffix('\\') {
            Some(part) => begun += part,
            None => lines.push(std::mem::take(&mut begun) + line),
        }
    }
    lines
}

/// The words of a simple command: quotes taken off, ended by a comment, pipe, redirection or `;`.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) =
        (Vec::new(), None, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '>' | '<' | ';' | '&') => break,
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let is_assignment = |word: &&String| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let assignments = words.iter().take_while(is_assignment).count();
    words.split_off(assignments)
}

/// The commands that tables name as what measures something.
fn measured(text: &str) -> impl Iterator<Item = String> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let codes = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    codes
        .filter(|code| code.starts_with("kith bench ") || code.starts_with("kith chaos "))
        .map(ToOwned::to_owned)
}

/// Whether kith begins with what a command asks for: it can be parsed, and its options go together.
fn taken(words: &[String]) -> anyhow::Result<()> {
    Cli::try_parse_from(words)?.check()
}

#[test]
fn every_command_is_one_that_kith_takes() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, text) in documents() {
        let shown = blocks(&text, "sh");
        let shown = shown.iter().flat_map(|block| command_lines(block));
        for line in shown.chain(measured(&text)) {
            let words = words(&line);
            if words.first().is_none_or(|word| word != "kith") {
                continue;
            }
            tried += 1;
            if let Err(error) = taken(&words) {
                wrong.push(format!("{name}: {line}\n{error}"));
            }
        }
    }
    assert!(tried > 30, "only {tried} commands were found");
    let row = "| x | `kith bench tick`, `import` | `kith chaos --cycles 2` |";
    assert_eq!(measured(row).count(), 2);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_command_would_be_noticed() {
    for line in [
        "kith explian ann@example.com",
        "kith explain",
        "kith plan --day 7",
        "kith import people x.csv",
        "kith bench deliver --contacts 100000 --messages 20000 --dkim rsa",
        "kith bench deliver --messages 1000 --queued 500 --old-snapshot 1s",
        "kith bench audience --contacts 5000 --changed 1000",
        "kith bench ingest --contacts 1000 --visits 1001",
        "kith bench forecast --contacts 1000 --messages 1000",
    ] {
        assert!(taken(&words(line)).is_err(), "{line}");
    }
    assert_eq!(
        words("A=b kith log x call --text 'two words' # why"),
        ["kith", "log", "x", "call", "--text", "two words"]
    );
    assert_eq!(
        command_lines("a \\\n b\ncat <<'END'\nkith nonsense\nEND\nc\n"),
        ["a  b", "cat <<'END'", "c"]
    );
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for (name, text) in documents() {
        for target in links(&text) {
            if ["http://", "https://", "mailto:"]
                .iter()
                .any(|scheme| target.starts_with(scheme))
            {
                continue;
            }
            let (file, anchor) = target
                .split_once('#')
                .map_or((target, None), |(f, a)| (f, Some(a)));
            let here = root().join(&name);
            let path = if file.is_empty() {
                here
            } else {
                here.parent().unwrap().join(file)
            };
            if !path.exists() {
                wrong.push(format!("{name}: {target}"));
            } else if let Some(anchor) = anchor
                && !headings(&fs::read_to_string(path).unwrap()).contains(anchor)
            {
                wrong.push(format!("{name}: {target}: no such heading"));
            }
        }
    }
    assert!(wrong.is_empty(), "links to nowhere:\n{}", wrong.join("\n"));
}

/// The targets of the links of a text, code left out.
fn links(text: &str) -> Vec<&str> {
    let prose: Vec<&str> = text.split("```").step_by(2).collect();
    prose
        .iter()
        .flat_map(|part| part.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .collect()
}

/// The headings as a forge names them in addresses.
fn headings(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            words
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn every_setting_shown_is_one() {
    let mut shown = 0;
    for (name, text) in documents() {
        for block in blocks(&text, "toml settings") {
            shown += 1;
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("kith.toml"), block).unwrap();
            if let Err(error) = Settings::load(Some(dir.path())) {
                panic!("{name}: {error}");
            }
        }
    }
    assert!(shown > 0);
}

/// The names that stand in `text` right after one of these openings, with which.
fn metrics_after<'a>(text: &'a str, openings: [&'static str; 3]) -> BTreeSet<(usize, &'a str)> {
    let mut found = BTreeSet::new();
    for (kind, opening) in openings.into_iter().enumerate() {
        for (at, _) in text.match_indices(opening) {
            // Not the end of a longer word.
            if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = text[at + opening.len()..].trim_start();
            if let Some(name) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                found.insert((kind, name));
            }
        }
    }
    found
}

#[test]
fn every_metric_is_counted_described_and_listed() {
    const KINDS: [&str; 3] = ["counter", "gauge", "histogram"];
    let mut sources = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let counted = metrics_after(&sources, ["counter!(", "gauge!(", "histogram!("]);
    let described = metrics_after(
        &sources,
        ["describe_counter!(", "describe_gauge!(", "describe_histogram!("],
    );
    let operations = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let listed: BTreeSet<(usize, &str)> = operations
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `kith_")?.split(" | ");
            let name = cells.next()?.strip_suffix('`')?;
            let kind = cells.next()?;
            let whole = line.find(name)? - "kith_".len();
            let kind = KINDS.iter().position(|one| *one == kind)?;
            Some((kind, &line[whole..whole + "kith_".len() + name.len()]))
        })
        .collect();
    assert!(counted.len() > 20, "{counted:?}");
    assert_eq!(counted, described, "in the code, and described there");
    assert_eq!(counted, listed, "in the code, and in docs/operations.md");
}

#[test]
fn every_name_in_the_architecture_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let prose: String = text.split("```").step_by(2).collect();
    let names: BTreeSet<&str> = prose
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains("::"))
        .collect();
    assert!(names.len() > 60, "only {} names were found", names.len());
    let missing: Vec<_> = names.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "not in the source: {missing:?}");
    for wrong in [
        "engine::plan::run_twice",
        "engine::plans",
        "domain::gate::Clear",
        "smtp::cuts::nothing",
    ] {
        assert!(!exists(wrong), "{wrong}");
    }
}

/// Whether a path names a module under `src/` or `tests/it/`, or something that is defined in it.
fn exists(name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    (1..=parts.len()).rev().any(|depth| {
        let (module, item) = parts.split_at(depth);
        ["src", "tests/it"].iter().any(|house| {
            let path = root().join(house).join(module.join("/"));
            let files = [
                path.with_extension("rs"),
                path.join("mod.rs"),
                path.join("tests.rs"),
            ];
            files
                .iter()
                .filter_map(|file| fs::read_to_string(file).ok())
                .any(|source| item.iter().all(|word| defines(&source, word)))
        })
    })
}

/// Whether a source defines a function, type or constant of this name.
fn defines(source: &str, name: &str) -> bool {
    let keywords = ["fn ", "struct ", "enum ", "trait ", "type ", "const "];
    keywords.iter().any(|keyword| {
        let wanted = format!("{keyword}{name}");
        source.match_indices(&wanted).any(|(at, _)| {
            !source[at + wanted.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    })
}
