//! The pages: handlebars templates, style and words, compiled into the program.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use handlebars::{
    Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderError, RenderErrorReason,
    handlebars_helper,
};
use rust_embed::RustEmbed;
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;

use super::error::HttpError;
use super::language::Language;

#[derive(RustEmbed)]
#[folder = "src/web/pages/"]
struct Files;

const WORDS: [(Language, &str); 3] = [
    (Language::English, include_str!("strings/en.toml")),
    (Language::Simplified, include_str!("strings/zh-Hans.toml")),
    (Language::Traditional, include_str!("strings/zh-Hant.toml")),
];

/// The pages.
pub struct Pages {
    templates: Handlebars<'static>,
    words: Words,
    style: String,
}

type Words = BTreeMap<&'static str, BTreeMap<String, String>>;

impl Pages {
    /// Those compiled into the program.
    pub fn compiled() -> &'static Self {
        static PAGES: LazyLock<Pages> =
            LazyLock::new(|| Pages::compile().expect("the pages inside the program are sound"));
        &PAGES
    }

    fn compile() -> anyhow::Result<Self> {
        let mut templates = Handlebars::new();
        templates.set_strict_mode(true);
        let mut style = String::new();
        for path in Files::iter() {
            let Some(file) = Files::get(&path) else { continue };
            let text = std::str::from_utf8(&file.data)?;
            match path.strip_suffix(".hbs") {
                Some(name) => templates.register_template_string(name, text)?,
                None => text.clone_into(&mut style),
            }
        }
        let words = words()?;
        templates.register_helper("t", Box::new(Word(words.clone())));
        templates.register_helper("word", Box::new(Known(words.clone())));
        handlebars_helper!(num: |n: Value| grouped(&n));
        templates.register_helper("num", Box::new(num));
        handlebars_helper!(query: |value: str| form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>());
        templates.register_helper("query", Box::new(query));
        Ok(Self {
            templates,
            words,
            style,
        })
    }

    /// A page; `view` is an object, to which the language is added.
    pub fn show(
        &self,
        page: &str,
        language: Language,
        view: &impl Serialize,
    ) -> Result<Html<String>, HttpError> {
        let mut view = serde_json::to_value(view).map_err(anyhow::Error::from)?;
        if let Value::Object(fields) = &mut view {
            fields.insert("lang".to_owned(), language.tag().into());
        }
        let text = self.templates.render(page, &view).map_err(anyhow::Error::from)?;
        Ok(Html(text))
    }

    /// A text outside any page, with `{name}` replaced.
    pub fn text(&self, key: &str, language: Language, values: &[(&str, &str)]) -> String {
        let word = self.words.get(language.tag()).and_then(|words| words.get(key));
        let mut text = word.cloned().unwrap_or_default();
        for (name, value) in values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    /// The style sheet.
    pub fn style(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/css; charset=utf-8"),
            (header::CACHE_CONTROL, "max-age=300"),
        ];
        (headers, self.style.clone()).into_response()
    }
}

/// A number to whole units with its thousands apart; money comes as text.
fn grouped(number: &Value) -> String {
    let text = match number {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let Ok(number) = text.parse::<rust_decimal::Decimal>() else {
        return text;
    };
    let whole = number.round().abs().to_string();
    let mut out = String::with_capacity(whole.len() + whole.len() / 3 + 1);
    if number.round().is_sign_negative() && !number.round().is_zero() {
        out.push('−');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn words() -> anyhow::Result<Words> {
    let mut words = Words::new();
    for (language, text) in WORDS {
        let table: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(text)?;
        let flat = table.into_iter().flat_map(|(section, entries)| {
            entries
                .into_iter()
                .map(move |(key, word)| (format!("{section}.{key}"), word))
        });
        words.insert(language.tag(), flat.collect());
    }
    Ok(words)
}

fn find<'a>(words: &'a Words, context: &Context, key: &str) -> Option<&'a str> {
    let language = context.data().get("lang").and_then(Value::as_str).unwrap_or("en");
    words.get(language)?.get(key).map(String::as_str)
}

/// `{{t "page.key" name=value}}`: a text of the page's language, with `{name}` replaced.
struct Word(Words);

impl handlebars::HelperDef for Word {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        engine: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let key = helper
            .param(0)
            .and_then(|p| p.value().as_str())
            .unwrap_or_default();
        let Some(word) = find(&self.0, context, key) else {
            let why = format!("no text `{key}`");
            return Err(RenderError::from(RenderErrorReason::Other(why)));
        };
        let mut text = word.to_owned();
        for (name, value) in helper.hash() {
            let value = match value.value() {
                Value::String(value) => value.clone(),
                other => other.to_string(),
            };
            text = text.replace(&format!("{{{name}}}"), &value);
        }
        out.write(&engine.get_escape_fn()(&text))?;
        Ok(())
    }
}

/// `{{word "reason" value}}`: the name of a stored word in the page's language; the word itself where there is none.
struct Known(Words);

impl handlebars::HelperDef for Known {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        engine: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let text = |at| {
            helper
                .param(at)
                .and_then(|p| p.value().as_str())
                .unwrap_or_default()
        };
        let (section, value) = (text(0), text(1));
        let word = find(&self.0, context, &format!("{section}.{value}")).unwrap_or(value);
        out.write(&engine.get_escape_fn()(word))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_languages_have_the_same_texts() {
        let words = words().unwrap();
        let keys = |tag: &str| words[tag].keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys("en"), keys("zh-Hans"));
        let public: BTreeSet<_> = keys("en")
            .into_iter()
            .filter(|k| k.starts_with("public."))
            .collect();
        assert!(!public.is_empty());
        assert_eq!(keys("zh-Hant"), public);
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [
            (Value::from(0), "0"),
            (Value::from(999), "999"),
            (Value::from(9_956_060), "9,956,060"),
            (Value::from("-522.4"), "−522"),
            (Value::from("1234.50"), "1,234"),
            (Value::from("–"), "–"),
        ] {
            assert_eq!(grouped(&number), text);
        }
    }

    #[test]
    fn every_text_a_page_asks_for_is_there() {
        let words = words().unwrap();
        let mut asked = 0;
        for path in Files::iter().filter(|p| p.ends_with(".hbs")) {
            let file = Files::get(&path).unwrap();
            let text = std::str::from_utf8(&file.data).unwrap();
            for piece in ["{{t \"", "(t \""]
                .iter()
                .flat_map(|mark| text.split(mark).skip(1))
            {
                let key = piece.split('"').next().unwrap();
                assert!(words["en"].contains_key(key), "{path}: {key}");
                asked += 1;
            }
        }
        assert!(asked > 50, "only {asked} found");
        Pages::compile().unwrap();
    }
}
