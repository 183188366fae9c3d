//! The form of an HTML document without its values. Thousands get the same form with their own names and dates in it, so what
//! is costly about it (styles moved into the elements) is worked out once for the form.
//!
//! The engine puts every value between two private characters, which no value can bring in. Here values are taken out,
//! the form is worked on with numbers in their places, and they are put back. Where a value could change what becomes of the
//! form, as in a style sheet or a class, the document is worked on as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const OPEN: char = '\u{f8f3}';
const CLOSE: char = '\u{f8f4}';

/// Forms kept at most; a template makes as many as its conditions allow.
const FORMS: usize = 512;

/// Attributes whose value no style sheet without `[` or `:lang` looks at.
const HARMLESS: [&str; 6] = ["href", "src", "alt", "title", "lang", "data-tag"];

/// Takes the private characters out of a value.
pub fn unmarked(text: &str) -> String {
    text.replace([OPEN, CLOSE], "")
}

/// An escaped value as the engine puts it into a document.
pub fn marked(escaped: &str) -> String {
    format!("{OPEN}{escaped}{CLOSE}")
}

/// Forms that have been worked out.
#[derive(Debug, Default)]
pub struct Moulds {
    forms: Mutex<HashMap<String, Arc<str>>>,
}

impl Moulds {
    /// Works on a document with marked values: once for each form where that is possible.
    pub fn work<E>(&self, html: &str, work: impl FnOnce(&str) -> Result<String, E>) -> Result<String, E> {
        let Some((form, values)) = lift(html) else {
            return work(&unmarked(html));
        };
        if let Some(done) = self.lock().get(&form).cloned() {
            return Ok(fill(&done, &values));
        }
        let done: Arc<str> = work(&form)?.into();
        let mut forms = self.lock();
        if forms.len() >= FORMS {
            forms.clear();
        }
        forms.insert(form, done.clone());
        drop(forms);
        Ok(fill(&done, &values))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<str>>> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The form, with numbers in the places of the values, and the values. `None` = a value stands where the form depends on it.
fn lift(html: &str) -> Option<(String, Vec<&str>)> {
    let (mut form, mut values) = (String::with_capacity(html.len()), Vec::new());
    let mut place = Place::default();
    let mut rest = html;
    while let Some((before, behind)) = rest.split_once(OPEN) {
        let (value, after) = behind.split_once(CLOSE)?;
        place.pass(before, form.len());
        form.push_str(before);
        if !place.is_harmless(&form) {
            return None;
        }
        form.push(OPEN);
        form.push_str(&values.len().to_string());
        form.push(CLOSE);
        values.push(value);
        rest = after;
    }
    form.push_str(rest);
    (!values_may_be_selected(&form)).then_some((form, values))
}

/// Puts values in the places of their numbers, escaped as the serialiser of the form would have.
fn fill(form: &str, values: &[&str]) -> String {
    let mut out = String::with_capacity(form.len() + values.iter().map(|v| v.len()).sum::<usize>());
    let mut rest = form;
    while let Some((before, behind)) = rest.split_once(OPEN) {
        out.push_str(before);
        let (number, after) = behind.split_once(CLOSE).unwrap_or((behind, ""));
        if let Some(value) = number.parse().ok().and_then(|n: usize| values.get(n)) {
            push_value(&mut out, value);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn push_value(out: &mut String, value: &str) {
    if value.contains("&#") || value.contains('\u{a0}') {
        let plain = value
            .replace("&#x27;", "'")
            .replace("&#x60;", "`")
            .replace("&#x3D;", "=")
            .replace('\u{a0}', "&nbsp;");
        out.push_str(&plain);
    } else {
        out.push_str(value);
    }
}

/// Whether a style sheet of the document looks at attributes.
fn values_may_be_selected(form: &str) -> bool {
    form.split("<style")
        .skip(1)
        .map(|rest| rest.split_once("</style").map_or(rest, |(sheet, _)| sheet))
        .any(|sheet| sheet.contains('[') || sheet.contains(":lang"))
}

/// Where in the markup a walk through it stands.
#[derive(Debug, Default)]
struct Place {
    at: At,
    /// Inside an element whose text is no text.
    raw: bool,
    /// Where the tag that is being passed begins, and the quote that is open, in the form.
    tag: usize,
    quote: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Text,
    Tag,
    Quoted(u8),
}

impl Place {
    /// Passes a piece without values that stands at `offset` of the form.
    fn pass(&mut self, piece: &str, offset: usize) {
        let bytes = piece.as_bytes();
        for (n, byte) in bytes.iter().enumerate() {
            match (self.at, byte) {
                (At::Text, b'<') => match bytes.get(n + 1) {
                    Some(next) if next.is_ascii_alphabetic() => {
                        self.at = At::Tag;
                        self.tag = offset + n;
                        let name = &piece[n + 1..];
                        self.raw = starts(name, "style") || starts(name, "script");
                    }
                    Some(b'/') => {
                        self.at = At::Tag;
                        self.tag = offset + n;
                        self.raw = false;
                    }
                    _ => {}
                },
                (At::Tag, b'"' | b'\'') => {
                    self.at = At::Quoted(*byte);
                    self.quote = offset + n;
                }
                (At::Tag, b'>') => self.at = At::Text,
                (At::Quoted(quote), byte) if *byte == quote => self.at = At::Tag,
                _ => {}
            }
        }
    }

    /// Whether a value may stand here without a say in what becomes of the form.
    fn is_harmless(&self, form: &str) -> bool {
        match self.at {
            At::Text => !self.raw,
            At::Tag => false,
            At::Quoted(_) => form
                .get(self.tag..self.quote)
                .and_then(|before| before.trim_end().strip_suffix('='))
                .and_then(|before| before.split_ascii_whitespace().next_back())
                .is_some_and(|name| HARMLESS.iter().any(|known| known.eq_ignore_ascii_case(name))),
        }
    }
}

fn starts(text: &str, word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::document::inline;
    use super::*;

    const STYLE: &str = "<style>p{color:red}.loud{color:blue}</style>";

    fn page(body: &str) -> String {
        format!("<html><head>{STYLE}</head><body>{body}</body></html>")
    }

    fn value(text: &str) -> String {
        marked(&handlebars::html_escape(text))
    }

    /// A reader makes no difference between the two ways to write these.
    fn as_read(html: &str) -> String {
        html.replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
    }

    #[test]
    fn it_comes_to_the_same_as_without_a_mould() {
        let moulds = Moulds::default();
        let hard = "O'Brien & \"Sons\" <b>=`x\u{a0}y`";
        for body in [
            format!("<p>Dear {}, {}</p>", value("Ann"), value(hard)),
            format!("<p title='{}'>{}</p>", value(hard), value("")),
            format!(
                "<a href=\"{}\">{}</a>",
                value("https://a.example/?a=1&b='2'"),
                value(hard)
            ),
            format!("<table><tr><td>{}</td></tr></table>", value(hard)),
            format!("<p class=\"{}\">a class</p>", value("loud")),
            format!("<p class=x{}>unquoted</p>", value("1")),
            format!("<style>p{{color:{}}}</style><p>a sheet</p>", value("green")),
            "<p>nothing</p>".to_owned(),
            format!(
                "<img alt=\"a > b\" src=\"{}\"><p>{}</p>",
                value("https://a.example/x.png"),
                value("1 < 2")
            ),
        ] {
            let html = page(&body);
            for _ in 0..2 {
                let (with, without) = (moulds.work(&html, inline), inline(&unmarked(&html)));
                assert_eq!(as_read(&with.unwrap()), as_read(&without.unwrap()), "{body}");
            }
        }
    }

    #[test]
    fn a_form_is_worked_out_once() {
        let (moulds, times) = (Moulds::default(), Cell::new(0));
        let work = |html: &str| {
            times.set(times.get() + 1);
            inline(html)
        };
        for name in ["Ann", "Bob", "Cleo"] {
            let done = moulds
                .work(&page(&format!("<p>Dear {}</p>", value(name))), work)
                .unwrap();
            assert!(
                done.contains(&format!("<p style=\"color: red;\">Dear {name}</p>")),
                "{done}"
            );
        }
        assert_eq!(times.get(), 1);
        for colour in ["red", "loud"] {
            let done = moulds
                .work(&page(&format!("<p class=\"{}\">x</p>", value(colour))), work)
                .unwrap();
            assert_eq!(done.contains("blue"), colour == "loud", "{done}");
        }
        assert_eq!(times.get(), 3);
    }

    #[test]
    fn sheets_that_look_at_attributes_are_heard() {
        let moulds = Moulds::default();
        let html = |to: &str| {
            format!(
                "<html><head><style>a[href=\"https://a.example/\"]{{color:red}}</style></head><body><a href=\"{}\">x</a></body></html>",
                value(to)
            )
        };
        assert!(
            moulds
                .work(&html("https://a.example/"), inline)
                .unwrap()
                .contains("color: red")
        );
        assert!(
            !moulds
                .work(&html("https://b.example/"), inline)
                .unwrap()
                .contains("color: red")
        );
    }

    #[test]
    fn a_value_cannot_bring_a_place_with_it() {
        let bad = format!("{OPEN}0{CLOSE}");
        assert_eq!(unmarked(&bad), "0");
    }
}
