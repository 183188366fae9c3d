//! TOML with a memory: one text, or several laid over each other, and the place of everything in them.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use super::problem::{Problem, nearest};

/// One text or several laid over each other. Later texts win key by key; lists are replaced whole.
///
/// Every text is kept behind as many blanks as the texts before it are long, so a span alone tells the text.
#[derive(Default)]
pub struct Source {
    texts: Vec<Text>,
}

struct Text {
    file: String,
    padded: String,
    start: usize,
    over: Over,
}

/// What a text lies over.
enum Over {
    Everything,
    /// One table of a list of tables.
    Member {
        list: String,
        position: usize,
    },
}

impl Source {
    /// One text. Refused when it is not TOML.
    pub fn of(file: impl Into<String>, text: &str) -> Result<Self, Problem> {
        let mut source = Self::default();
        source.lay_over(file, text)?;
        Ok(source)
    }

    /// Lays a text over what is there. Refused when it is not TOML.
    pub fn lay_over(&mut self, file: impl Into<String>, text: &str) -> Result<(), Problem> {
        self.push(file.into(), text, Over::Everything)
    }

    /// Lays a text over one table of a list of tables: the one whose `name` is `wanted`, without regard to case.
    /// `None` when there is no such table.
    pub fn lay_over_named(
        &mut self,
        file: impl Into<String>,
        list: &str,
        wanted: &str,
        text: &str,
    ) -> Option<Result<(), Problem>> {
        let position = self
            .table()
            .get(list)?
            .get_ref()
            .as_array()?
            .iter()
            .position(|member| {
                let name = member.get_ref().as_table().and_then(|table| table.get("name"));
                name.and_then(|name| name.get_ref().as_str())
                    .is_some_and(|name| name.eq_ignore_ascii_case(wanted))
            })?;
        Some(self.push(
            file.into(),
            text,
            Over::Member {
                list: list.to_owned(),
                position,
            },
        ))
    }

    /// The whole as a typed value; a fault names its place.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        T::deserialize(Deserializer::from(Spanned::new(
            self.start_of_last(),
            self.table(),
        )))
        .map_err(|error| self.problem(&error))
    }

    /// The table under one key as a typed value; a fault names its place.
    pub fn read_part<T: DeserializeOwned>(&self, key: &str) -> Result<T, Problem> {
        let mut table = self.table();
        let Some(part) = table.remove(key) else {
            return Err(self.place(
                self.start_of_last(),
                key.to_owned(),
                format!("there is no `{key}`"),
            ));
        };
        T::deserialize(ValueDeserializer::from(part)).map_err(|error| self.problem(&error))
    }

    /// What stands under a path, where it is a list: whether its members are tables.
    pub fn list_of_tables(&self, path: &[&str]) -> Option<bool> {
        let table = self.table();
        let (first, rest) = path.split_first()?;
        let mut value = table.get(*first)?;
        for key in rest {
            (_, value) = child(value.get_ref(), key)?;
        }
        let list = value.get_ref().as_array()?;
        Some(list.iter().any(|member| member.get_ref().as_table().is_some()))
    }

    /// A fault at the field of that path (keys and list positions); where it is absent, at what encloses it.
    pub fn problem_at(&self, path: &[&str], reason: impl Into<String>) -> Problem {
        self.place(self.span_of(path), path.join("."), reason.into())
    }

    fn push(&mut self, file: String, text: &str, over: Over) -> Result<(), Problem> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let start = self.texts.last().map_or(0, |last| last.padded.len() + 1);
        let padded = format!("{}{text}", " ".repeat(start));
        self.texts.push(Text {
            file,
            padded,
            start,
            over,
        });
        let refused = DeTable::parse(&self.texts[self.texts.len() - 1].padded).err();
        match refused {
            Some(error) => Err(self.problem(&error)),
            None => Ok(()),
        }
    }

    /// All texts, laid over each other. Those that are not TOML were refused when they came.
    fn table(&self) -> DeTable<'_> {
        let mut whole = DeTable::new();
        for text in &self.texts {
            let Ok(parsed) = DeTable::parse(&text.padded) else {
                continue;
            };
            match &text.over {
                Over::Everything => merge(&mut whole, parsed.into_inner()),
                Over::Member { list, position } => {
                    if let Some(DeValue::Array(members)) = whole.get_mut(list.as_str()).map(Spanned::get_mut)
                        && let Some(DeValue::Table(member)) = members.get_mut(*position).map(Spanned::get_mut)
                    {
                        merge(member, parsed.into_inner());
                    }
                }
            }
        }
        whole
    }

    fn span_of(&self, path: &[&str]) -> Range<usize> {
        let table = self.table();
        let Some((first, rest)) = path.split_first() else {
            return self.start_of_last();
        };
        let Some((key, mut value)) = table.get_key_value(*first) else {
            return self.start_of_last();
        };
        let mut span = key.span();
        for key in rest {
            let Some((at, inner)) = child(value.get_ref(), key) else {
                break;
            };
            span = at;
            value = inner;
        }
        span
    }

    fn start_of_last(&self) -> Range<usize> {
        let start = self.texts.last().map_or(0, |text| text.start);
        start..start
    }

    fn problem(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or_else(|| self.start_of_last());
        let message = error.message().trim().replace('\n', ", ");
        let field = path_to(&self.table(), span.start);
        let (reason, suggestion) = in_plain_words(&message);
        self.place(span, field, reason).suggest(suggestion)
    }

    fn place(&self, span: Range<usize>, field: String, reason: String) -> Problem {
        let Some(text) = self.texts.iter().rev().find(|text| text.start <= span.start) else {
            return Problem::of_file("", reason);
        };
        let before = text.padded.get(text.start..span.start).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Problem {
            file: text.file.clone(),
            line,
            column,
            field,
            reason,
            suggestion: None,
        }
    }
}

fn child<'a, 'i>(value: &'a DeValue<'i>, key: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'i>>)> {
    match value {
        DeValue::Table(table) => table.get_key_value(key).map(|(key, value)| (key.span(), value)),
        DeValue::Array(list) => list
            .get(key.parse::<usize>().ok()?)
            .map(|value| (value.span(), value)),
        _ => None,
    }
}

fn merge<'i>(under: &mut DeTable<'i>, over: DeTable<'i>) {
    for (key, value) in over {
        let span = value.span();
        let value = match (
            value.into_inner(),
            under.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut),
        ) {
            (DeValue::Table(new), Some(DeValue::Table(inner))) => {
                merge(inner, new);
                continue;
            }
            (value, _) => value,
        };
        under.remove(key.get_ref().as_ref());
        under.insert(key, Spanned::new(span, value));
    }
}

/// Dotted path of the innermost field at that place.
fn path_to(table: &DeTable<'_>, at: usize) -> String {
    let inside = |span: Range<usize>| span.start <= at && at < span.end.max(span.start + 1);
    for (key, value) in table {
        if inside(key.span()) {
            return key.get_ref().to_string();
        }
        let deeper = match value.get_ref() {
            DeValue::Table(inner) => path_to(inner, at),
            DeValue::Array(list) => list
                .iter()
                .enumerate()
                .find_map(|(position, member)| match member.get_ref() {
                    DeValue::Table(inner) => match path_to(inner, at) {
                        deeper if !deeper.is_empty() => Some(format!("{position}.{deeper}")),
                        _ => inside(member.span()).then(|| position.to_string()),
                    },
                    _ => inside(member.span()).then(|| position.to_string()),
                })
                .unwrap_or_default(),
            _ => String::new(),
        };
        if !deeper.is_empty() {
            return format!("{}.{deeper}", key.get_ref());
        }
        if inside(value.span()) {
            return key.get_ref().to_string();
        }
    }
    String::new()
}

/// The parser's message in the words of a file, and what was probably meant.
fn in_plain_words(message: &str) -> (String, Option<String>) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let (word, candidates) = quoted
            .split_first()
            .map_or(("", &[][..]), |(word, rest)| (*word, rest));
        let what = if message.starts_with("unknown field") {
            "unknown key"
        } else {
            "unknown value"
        };
        let known = match candidates {
            [] => String::new(),
            some => format!("; known: {}", some.join(", ")),
        };
        return (
            format!("{what} `{word}`{known}"),
            nearest(word, candidates.iter().copied()),
        );
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return (format!("missing key {field}"), None);
    }
    (message.to_owned(), None)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct House {
        name: String,
        doors: Vec<Door>,
        #[serde(default)]
        garden: Garden,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Door {
        name: String,
        wide: u32,
    }

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Garden {
        trees: u32,
        pond: bool,
    }

    const UNDER: &str = "name = \"old\"\ndoors = [{ name = \"front\", wide = 2 }]\n[garden]\ntrees = 3\n";

    #[test]
    fn a_later_text_wins_key_by_key() {
        let mut source = Source::of("a", UNDER).unwrap();
        source
            .lay_over("b", "name = \"new\"\n[garden]\npond = true\n")
            .unwrap();
        source
            .lay_over_named("c", "doors", "FRONT", "wide = 9")
            .unwrap()
            .unwrap();
        assert!(source.lay_over_named("d", "doors", "back", "wide = 9").is_none());
        let house: House = source.read().unwrap();
        assert_eq!(house.name, "new");
        assert_eq!(house.garden, Garden { trees: 3, pond: true });
        assert_eq!(
            house.doors,
            [Door {
                name: "front".into(),
                wide: 9
            }]
        );
    }

    #[test]
    fn a_fault_is_placed_in_the_text_it_stands_in() {
        let mut source = Source::of("a", UNDER).unwrap();
        source
            .lay_over("b", "\n# a comment\n[garden]\n  treas = 4\n")
            .unwrap();
        let problem = source.read::<House>().unwrap_err();
        assert_eq!(
            problem.to_string(),
            "b:4:3: garden.treas: unknown key `treas`; known: trees, pond (did you mean `trees`?)"
        );
        let mut source = Source::of("a", UNDER).unwrap();
        source
            .lay_over(
                "b",
                "[[doors]]\nname = \"x\"\nwide = 1\n\n[[doors]]\nname = \"y\"\nwide = \"1\"\n",
            )
            .unwrap();
        let problem = source.read::<House>().unwrap_err();
        assert_eq!((problem.line, problem.field.as_str()), (7, "doors.1.wide"));
        assert_eq!(source.problem_at(&["doors", "1", "wide"], "no").line, 7);
        assert_eq!(source.problem_at(&["doors", "1", "absent"], "no").line, 5);
        assert_eq!(
            source.problem_at(&["garden", "trees"], "no").to_string(),
            "a:4:1: garden.trees: no"
        );
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        let problem = Source::of("a", "\u{feff}x = 1\ny = = 2\n").err().unwrap();
        assert_eq!((problem.file.as_str(), problem.line), ("a", 2));
    }

    #[test]
    fn a_missing_key_is_placed_at_its_table() {
        let source = Source::of("a", "name = \"n\"\ndoors = [{ name = \"front\" }]\n").unwrap();
        let problem = source.read::<House>().unwrap_err();
        assert_eq!((problem.line, problem.reason.as_str()), (2, "missing key `wide`"));
    }
}
