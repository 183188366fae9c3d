//! The rules of the house, read from the sources themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module imports only from floors below its own.
const FLOORS: &[(&str, u8)] = &[
    ("domain", 0),
    ("config", 1),
    ("clock", 1),
    ("sample", 1),
    ("store", 2),
    ("channel", 2),
    ("inbound", 2),
    ("render", 2),
    ("postgres", 2),
    ("sandbox", 2),
    ("engine", 3),
    ("web", 4),
    ("daemon", 4),
    ("forecast", 4),
    ("simulate", 4),
    ("app", 5),
    ("cli", 6),
];

const LINES_MAX: usize = 600;

/// Names that say nothing about what is inside.
const NO_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "misc"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project, with its path from the root; build output and hidden tool directories apart.
fn files() -> Vec<(String, PathBuf)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_dir = entry.file_type().unwrap().is_dir();
            if is_dir && ![".git", "target", "node_modules", ".sqlx"].contains(&name.as_str()) {
                walk(&entry.path(), found);
            } else if !is_dir && name != ".git" {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
        .into_iter()
        .map(|p| (p.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), p))
        .collect()
}

/// The Rust sources of the program: path from the root, and the code without comments, literals and tests.
fn sources() -> BTreeMap<String, String> {
    files()
        .into_iter()
        .filter(|(name, _)| {
            name.starts_with("src/") && has_extension(name, "rs") && !name.ends_with("/tests.rs")
        })
        .map(|(name, path)| {
            (
                name,
                without_tests(&code_only(&fs::read_to_string(path).unwrap())),
            )
        })
        .collect()
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

/// Blanks comments and the insides of literals; line breaks stay.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<char> = Vec::with_capacity(chars.len());
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut i = 0;
    let mut blank_to = |i: &mut usize, end: usize| {
        while *i < end.min(chars.len()) {
            out.push(if chars[*i] == '\n' { '\n' } else { ' ' });
            *i += 1;
        }
        out.len()
    };
    let mut kept: Vec<(usize, char)> = Vec::new();
    while i < chars.len() {
        let after_word = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
        let end = if at(i) == '/' && at(i + 1) == '/' {
            find(&chars, i, &['\n'])
        } else if at(i) == '/' && at(i + 1) == '*' {
            find(&chars, i + 2, &['*', '/']) + 2
        } else if at(i) == 'r' && !after_word && raw_hashes(&chars, i + 1).is_some() {
            let hashes = raw_hashes(&chars, i + 1).unwrap();
            let close: Vec<char> = std::iter::once('"')
                .chain(std::iter::repeat_n('#', hashes))
                .collect();
            find(&chars, i + 2 + hashes, &close) + close.len()
        } else if at(i) == '"' {
            quoted_end(&chars, i + 1, '"')
        } else if at(i) == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'') {
            quoted_end(&chars, i + 1, '\'')
        } else {
            kept.push((i, at(i)));
            i + 1
        };
        blank_to(&mut i, end);
    }
    for (i, c) in kept {
        out[i] = c;
    }
    out.into_iter().collect()
}

fn find(chars: &[char], from: usize, what: &[char]) -> usize {
    (from..chars.len())
        .find(|&i| chars[i..].starts_with(what))
        .unwrap_or(chars.len())
}

/// The number of hashes between `r` and the opening quote of a raw string.
fn raw_hashes(chars: &[char], from: usize) -> Option<usize> {
    let hashes = chars[from..].iter().take_while(|&&c| c == '#').count();
    (chars.get(from + hashes) == Some(&'"')).then_some(hashes)
}

fn quoted_end(chars: &[char], mut i: usize, quote: char) -> usize {
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Blanks every item under `#[cfg(test)]`. Takes code without literals, so that braces balance.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(start) = code.find("#[cfg(test)]") {
        let rest = &code[start..];
        let first = rest.find(['{', ';']).unwrap_or(rest.len() - 1);
        let mut depth = 0;
        let mut end = rest.len();
        for (i, c) in rest.char_indices().skip_while(|(i, _)| *i < first) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = i + c.len_utf8();
                break;
            }
        }
        let blank: String = rest[..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        code.replace_range(start..start + end, &blank);
    }
    code
}

/// The top-level modules that a piece of code names by `crate::`, by `kith::`, or by climbing to the root with `super`.
fn imports(code: &str, depth: usize) -> Vec<String> {
    let climb = "super::".repeat(depth);
    let mut found = Vec::new();
    for prefix in ["crate::", "kith::", climb.as_str()]
        .into_iter()
        .filter(|p| !p.is_empty())
    {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == ':') {
                continue;
            }
            found.extend(first_names(&code[at + prefix.len()..]));
        }
    }
    found.retain(|name| !["", "super", "self"].contains(&name.as_str()));
    found
}

/// `a::b` names `a`; `{a::{x, y}, b}` names `a` and `b`.
fn first_names(path: &str) -> Vec<String> {
    let word = |s: &str| {
        s.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    if !path.starts_with('{') {
        return vec![word(path)];
    }
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 1);
    for (i, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            names.push(word(&path[start..i]));
            start = i + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// `src/channel/smtp/wire.rs` is module `channel`, at depth 3 (`crate::channel::smtp::wire`).
fn module_of(name: &str) -> (String, usize) {
    let path = name
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    (
        path.split('/').next().unwrap().to_owned(),
        path.split('/').count(),
    )
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

fn report(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    for (name, code) in sources() {
        if name == "src/lib.rs" || name == "src/main.rs" {
            continue;
        }
        let (module, depth) = module_of(&name);
        let Some(floor) = floor_of(&module) else {
            wrong.push(format!("{name}: module `{module}` has no floor"));
            continue;
        };
        for import in imports(&code, depth) {
            match floor_of(&import) {
                _ if import == module => {}
                None => wrong.push(format!("{name}: `{import}` is no module of the house")),
                Some(other) if other == floor => {
                    wrong.push(format!("{name}: {module} and {import} are siblings"));
                }
                Some(other) if other > floor => wrong.push(format!("{name}: {import} is above {module}")),
                Some(_) => {}
            }
        }
    }
    report("imports that do not go down", &wrong);
}

#[test]
fn the_floors_are_the_modules() {
    let lib = code_only(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    let mut declared: Vec<&str> = lib
        .lines()
        .filter_map(|l| l.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut listed: Vec<&str> = FLOORS.iter().map(|(name, _)| *name).collect();
    declared.sort_unstable();
    listed.sort_unstable();
    assert_eq!(declared, listed);
}

#[test]
fn files_are_short() {
    let long = |(name, path): (String, PathBuf)| {
        if !["rs", "sql", "js", "css"].iter().any(|e| has_extension(&name, e)) {
            return None;
        }
        let lines = fs::read_to_string(path).unwrap().lines().count();
        (lines > LINES_MAX).then(|| format!("{name}: {lines} lines"))
    };
    report(
        "files to split",
        &files().into_iter().filter_map(long).collect::<Vec<_>>(),
    );
}

#[test]
fn only_the_clock_reads_the_time() {
    let calls = ["Utc::now(", "Local::now(", "SystemTime::now("];
    let mut wrong = Vec::new();
    for (name, code) in sources().iter().filter(|(name, _)| *name != "src/clock.rs") {
        for (number, line) in code.lines().enumerate() {
            if calls.iter().any(|call| line.contains(call)) {
                wrong.push(format!("{name}:{}", number + 1));
            }
        }
    }
    report(
        "business time is an argument; only src/clock.rs asks for it",
        &wrong,
    );
}

#[test]
fn nothing_is_unwrapped() {
    let mut wrong = Vec::new();
    for (name, code) in sources() {
        for (number, line) in code
            .lines()
            .enumerate()
            .filter(|(_, line)| line.contains(".unwrap()"))
        {
            wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
        }
    }
    report("unwrap outside tests", &wrong);
}

#[test]
fn sql_is_written_in_the_store() {
    // The forecast shadows the store's tables; the embedded server makes its own database.
    let rooms = ["store", "forecast", "postgres"];
    let calls = [
        "query!(",
        "query_as!(",
        "query_scalar!(",
        "query_file!(",
        "sqlx::query",
        "sqlx::raw_sql",
    ];
    let mut wrong = Vec::new();
    for (name, code) in sources()
        .iter()
        .filter(|(name, _)| !rooms.contains(&module_of(name).0.as_str()))
    {
        for (number, line) in code.lines().enumerate() {
            if calls.iter().any(|call| line.contains(call)) {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    report("SQL outside the store", &wrong);
}

#[test]
fn every_file_is_in_its_room_and_named_for_what_it_holds() {
    let rust = ["src/", "tests/", "benches/", "build.rs"];
    let sql = [
        "migrations/",
        "src/store/",
        "src/forecast/",
        "config/",
        "templates/",
        "tests/",
        "docs/",
    ];
    let mut wrong = Vec::new();
    for (name, _) in files() {
        let rooms: &[&str] = match () {
            () if has_extension(&name, "rs") => &rust,
            () if has_extension(&name, "sql") => &sql,
            () => continue,
        };
        if !rooms.iter().any(|room| name.starts_with(room)) {
            wrong.push(format!("{name}: not in its room"));
        }
        if name
            .trim_end_matches(".rs")
            .split('/')
            .any(|part| NO_NAMES.contains(&part))
        {
            wrong.push(format!("{name}: the name says nothing"));
        }
    }
    report("files out of place", &wrong);
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
    ];
    let mut wrong = Vec::new();
    for (name, path) in files() {
        let Ok(text) = fs::read_to_string(path) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            // A path begins after a quote, a space or a sign, not after a word (`tests/work/`, `https://x.org/home/`).
            let begins =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-./}".contains(c));
            if paths
                .iter()
                .any(|p| line.match_indices(p).any(|(at, _)| begins(at)))
            {
                wrong.push(format!("{name}:{}", number + 1));
            }
        }
    }
    report("absolute paths of somebody's machine", &wrong);
}

#[test]
fn the_reader_sees_code_and_nothing_else() {
    let code = code_only(concat!(
        "use crate::a; // crate::comment\n",
        "let s = \"crate::text \\\" { \"; let r = r#\"crate::raw \" }\"#; let c = '{'; let l: &'static str;\n",
        "/* crate::block\n */ fn f() { crate::{b::{x, y}, c}; super::super::d::g() }\n",
        "#[cfg(test)]\nmod tests { use crate::e; fn t() { { } } }\nuse kith::z;\n",
    ));
    assert_eq!(code.lines().count(), 7);
    assert!(code.contains("&'static str"));
    let code = without_tests(&code);
    assert_eq!(imports(&code, 2), ["a", "b", "c", "z", "d"]);
    assert_eq!(imports("super::x::y; super::super::z", 1), ["x"]);
    assert_eq!(module_of("src/channel/smtp/wire.rs"), ("channel".to_owned(), 3));
    assert_eq!(module_of("src/channel/mod.rs"), ("channel".to_owned(), 1));
}
