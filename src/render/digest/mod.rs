//! The words of the digest, the owners' daily mail.
//!
//! They are compiled in and no template of the operator's: they speak of tasks and colleagues, which the facts of a
//! template about one contact do not know, and their buttons must fit the page that this same program serves.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use handlebars::Handlebars;
use serde::Serialize;
use serde_json::{Value, json};

use super::data::FORMAT;
use super::document;
use super::format;
use super::message::{RenderedEmail, one_line};
use super::mould;
use super::plaintext::tidy;
use crate::domain::locale::nearest;

const LANGUAGES: [(&str, &str); 3] = [
    ("en", include_str!("en.toml")),
    ("zh-Hans", include_str!("zh-Hans.toml")),
    ("zh-Hant", include_str!("zh-Hant.toml")),
];

/// What a digest says. No field has the name of a helper (`body`, `link`): the helper would be called.
#[derive(Debug, Clone, Serialize)]
pub struct Digest {
    /// Who reads it.
    pub reader: String,
    /// Whose tasks they are.
    pub owner: String,
    /// Whether the reader is his deputy.
    pub away: bool,
    /// How many tasks there are in all.
    pub total: i64,
    /// How many of them are past their deadline.
    pub overdue: i64,
    /// How many are not listed.
    pub more: i64,
    /// Until when the buttons are good.
    pub until: DateTime<Utc>,
    /// The tasks, the most urgent first.
    pub tasks: Vec<Item>,
}

/// One task.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// One line.
    pub title: String,
    /// What to do and why.
    pub what: String,
    /// Deadline.
    pub due_at: DateTime<Utc>,
    /// Whether that is over.
    pub late: bool,
    /// The person it is about.
    pub person: Option<String>,
    /// The person's company.
    pub account: Option<String>,
    /// The page of its buttons.
    pub page: String,
}

/// Why a digest could not be written; a fault of this program.
#[derive(Debug, thiserror::Error)]
#[error("the digest: {0}")]
pub struct DigestError(String);

/// Writes it in the language nearest to `locale`, else in English, with times in the reader's `zone`.
pub fn render(digest: &Digest, locale: &str, zone: Tz) -> Result<RenderedEmail, DigestError> {
    let wrong = |error: &dyn std::fmt::Display| DigestError(error.to_string());
    let language = nearest(locale, LANGUAGES.map(|(tag, _)| tag)).unwrap_or("en");
    let formats = if language == "en" && !locale.starts_with("en") {
        language
    } else {
        locale
    };
    let mut data: Value = serde_json::to_value(digest).map_err(|e| wrong(&e))?;
    data["locale"] = json!(language);
    data[FORMAT] = json!({ "locale": formats, "zone": zone.name() });
    let part = |engines: &Engines, name: &str| {
        engines
            .iter()
            .find(|(tag, _)| *tag == language)
            .ok_or_else(|| DigestError(format!("no {language}")))?
            .1
            .render(name, &data)
            .map_err(|e| wrong(&e))
    };
    let (html, plain) = (&ENGINES.0, &ENGINES.1);
    Ok(RenderedEmail {
        locale: language.to_owned(),
        subject: one_line(&part(plain, "subject")?),
        html: Some(document::inline(&mould::unmarked(&part(html, "html")?)).map_err(|e| wrong(&e))?),
        text: tidy(&part(plain, "text")?),
    })
}

/// An engine for each language; every word of a language is a partial.
type Engines = Vec<(&'static str, Handlebars<'static>)>;

static ENGINES: LazyLock<(Engines, Engines)> = LazyLock::new(|| (engines(true), engines(false)));

fn engines(html: bool) -> Engines {
    let frame = if html {
        ("html", include_str!("html.hbs"))
    } else {
        ("text", include_str!("text.hbs"))
    };
    let engine = |words: &str| -> Result<Handlebars<'static>, Box<dyn std::error::Error>> {
        let mut engine = format::engine(html);
        for (key, word) in toml::from_str::<toml::Table>(words)? {
            engine.register_template_string(&key, word.as_str().unwrap_or_default())?;
        }
        engine.register_template_string(frame.0, frame.1)?;
        Ok(engine)
    };
    LANGUAGES
        .iter()
        .map(|(tag, words)| {
            (
                *tag,
                engine(words).expect("the words inside the program are sound"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        let task = |title: &str, due: &str, late, person: Option<&str>| Item {
            title: title.into(),
            what: "Ask about <the budget>\nand the date.".into(),
            due_at: due.parse().unwrap(),
            late,
            person: person.map(Into::into),
            account: Some("Lin & Sons".into()),
            page: "https://t.company.example/t/AbC-_9".into(),
        };
        Digest {
            reader: "张雨欣".into(),
            owner: "陈志峰".into(),
            away: true,
            total: 52,
            overdue: 1,
            more: 50,
            until: "2027-01-11T00:00:00Z".parse().unwrap(),
            tasks: vec![
                task("Call Ada Lin", "2027-01-03T10:00:00Z", true, Some("Ada Lin")),
                task("Ask again", "2027-01-05T10:00:00Z", false, None),
            ],
        }
    }

    #[test]
    fn the_words_in_each_language() {
        for tag in ["en", "zh-Hans", "zh-Hant"] {
            let words = render(&digest(), tag, Tz::Asia__Shanghai).unwrap();
            assert_eq!(words.locale, tag);
            insta::assert_snapshot!(
                format!("digest_in_{tag}"),
                format!("{}\n\n{}", words.subject, words.text)
            );
        }
    }

    #[test]
    fn every_language_has_every_word() {
        let keys = |text: &str| {
            toml::from_str::<toml::Table>(text)
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        for (tag, words) in LANGUAGES {
            assert_eq!(keys(words), keys(LANGUAGES[0].1), "{tag}");
        }
    }

    #[test]
    fn the_html_is_escaped_and_has_the_buttons() {
        let html = render(&digest(), "en-GB", Tz::UTC).unwrap().html.unwrap();
        assert!(
            html.contains("Ask about &lt;the budget&gt;") && html.contains("Lin &amp; Sons"),
            "{html}"
        );
        assert!(
            html.contains("https://t.company.example/t/AbC-_9?do=done&amp;outcome=no-answer"),
            "{html}"
        );
        assert_eq!(
            html.matches("?do=leave").count(),
            1,
            "only a person can be left to his owner"
        );
        assert!(html.contains("<h2 style="), "styles are moved into the elements");
    }

    #[test]
    fn other_languages_read_english() {
        let words = render(&digest(), "fr", Tz::UTC).unwrap();
        assert_eq!(words.subject, "52 open tasks, 1 overdue (陈志峰)");
    }
}
