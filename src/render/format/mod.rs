//! What a template can do with a value: one file per formatter, all in the reader's own locale and zone.

mod date;
mod fallback;
mod link;
mod lookup;
mod money;
mod number;
mod plural;

use handlebars::{Context, Handlebars, Helper, JsonValue, RenderError, RenderErrorReason};
use icu_locale::Locale;
use rust_decimal::Decimal;

use super::{data::FORMAT, mould, timer};
use crate::domain::locale;

pub use link::{Mark, next_mark};

/// Blocks of the language.
pub const BLOCKS: [&str; 4] = ["each", "if", "unless", "with"];
/// Formatters and tests of the language.
pub const INLINE: [&str; 17] = [
    "and", "body", "date", "default", "eq", "gt", "gte", "len", "link", "lookup", "lt", "lte", "money", "ne",
    "not", "number", "or",
];
/// The formatter that is told apart by its own arguments.
pub const PLURAL: &str = "plural";

/// An engine with kith's language and nothing else. HTML escapes its values, plain text does not.
pub fn engine(html: bool) -> Handlebars<'static> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    for name in ["log", "raw"] {
        engine.unregister_helper(name);
    }
    engine.register_helper("date", Box::new(date::Date));
    engine.register_helper("default", Box::new(fallback::Default));
    engine.register_helper("link", Box::new(link::Link));
    engine.register_helper("lookup", Box::new(lookup::Lookup));
    engine.register_helper("money", Box::new(money::Money));
    engine.register_helper("number", Box::new(number::Number));
    engine.register_helper(PLURAL, Box::new(plural::Plural));
    engine.register_helper("body", Box::new(link::Body));
    timer::teach(&mut engine);
    if html {
        engine.register_escape_fn(|text| {
            mould::marked(&handlebars::html_escape(&mould::unmarked(&link::unmarked(text))))
        });
    } else {
        engine.register_escape_fn(link::unmarked);
    }
    engine
}

/// The locale that numbers and dates follow.
fn format_locale(context: &Context) -> Locale {
    context.data()[FORMAT]["locale"]
        .as_str()
        .and_then(locale::read)
        .unwrap_or(Locale::UNKNOWN)
}

/// The first argument. An absent name is an error, a known name without a value is none.
fn argument<'a>(helper: &'a Helper<'_>, name: &'static str) -> Result<Option<&'a JsonValue>, RenderError> {
    let param = helper
        .param(0)
        .ok_or(RenderErrorReason::ParamNotFoundForIndex(name, 0))?;
    if param.is_value_missing() {
        return Err(RenderErrorReason::MissingVariable(param.relative_path().cloned()).into());
    }
    match param.value() {
        JsonValue::Null => Ok(None),
        JsonValue::String(text) if text.is_empty() => Ok(None),
        value => Ok(Some(value)),
    }
}

/// A named argument as text.
fn named<'a>(helper: &'a Helper<'_>, name: &str) -> Option<&'a str> {
    helper.hash_get(name).and_then(|value| value.value().as_str())
}

/// A number, written as one or as text.
fn decimal(value: &JsonValue, helper: &'static str) -> Result<Decimal, RenderError> {
    let text = match value {
        JsonValue::String(text) => text.trim().to_owned(),
        JsonValue::Number(number) => number.to_string(),
        other => other.to_string(),
    };
    text.parse()
        .or_else(|_| Decimal::from_scientific(&text))
        .map_err(|_| wrong(helper, &format!("`{}` is not a number", short(&text))))
}

fn wrong(helper: &str, reason: &str) -> RenderError {
    RenderErrorReason::Other(format!("{helper}: {reason}")).into()
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
