//! The facts of a message as the template engine reads them.

use chrono_tz::Tz;
use handlebars::Context;
use serde_json::{Value, json};

use super::{context::RenderContext, limits};
use crate::domain::locale;

/// Key of the formatting facts in the data. No template can name it: a name cannot hold an `@` there.
pub(super) const FORMAT: &str = "@format";

/// Data for one rendering.
#[derive(Debug, Clone)]
pub struct Data(Context);

/// Facts that cannot be rendered from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// A list or object among the attributes is too long.
    #[error("`{0}` has more than {max} entries", max = limits::LIST_ITEMS)]
    TooLong(String),
    /// An attribute nests too deep.
    #[error("`{0}` is nested too deep")]
    TooDeep(String),
    /// Not an IANA zone.
    #[error("unknown time zone `{0}`")]
    Zone(String),
    /// The facts do not turn into JSON; a fault of this program.
    #[error("{0}")]
    Json(String),
}

impl Data {
    /// Prepares `context` for content in `content_locale`. Numbers and dates follow the contact's own locale where it
    /// is a variety of the content's language, else the content's: a French person who reads English content gets
    /// English dates in it.
    pub fn of(context: &RenderContext, content_locale: &str) -> Result<Self, DataError> {
        for (name, value) in &context.contact.attr {
            bounded(&format!("contact.attr.{name}"), value, 1)?;
        }
        if context.contact.attr.len() > limits::LIST_ITEMS {
            return Err(DataError::TooLong("contact.attr".to_owned()));
        }
        let zone = match context.contact.timezone.as_str() {
            "" => Tz::UTC,
            name => name.parse().map_err(|_| DataError::Zone(name.to_owned()))?,
        };
        let formats = if locale::same_writing(&context.contact.locale, content_locale) {
            &context.contact.locale
        } else {
            content_locale
        };
        let mut value = serde_json::to_value(context).map_err(|error| DataError::Json(error.to_string()))?;
        value["today"] = json!(context.now.with_timezone(&zone).date_naive());
        value["locale"] = json!(content_locale);
        value[FORMAT] = json!({ "locale": formats, "zone": zone.name() });
        // Taken as they are: `Context::wraps` would copy every one of them.
        Ok(Self(Context::from(value)))
    }

    /// Renders a layout, which sees more than the parts do.
    pub(super) fn in_layout<T>(
        &mut self,
        subject: &str,
        body: &str,
        render: impl FnOnce(&Context) -> T,
    ) -> T {
        let value = self.0.data_mut();
        value["subject"] = json!(subject);
        value[BODY] = json!(body);
        let done = render(&self.0);
        if let Value::Object(map) = self.0.data_mut() {
            map.remove("subject");
            map.remove(BODY);
        }
        done
    }

    /// The data as the engine takes them.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.0
    }

    /// The data as JSON.
    #[must_use]
    pub fn value(&self) -> &Value {
        self.0.data()
    }

    /// The data as JSON, given away.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.0.data().clone()
    }
}

/// Key of the rendered body in a layout's data, for `{{body}}` alone.
pub(super) const BODY: &str = "@body";

fn bounded(path: &str, value: &Value, depth: usize) -> Result<(), DataError> {
    if depth > limits::DATA_DEPTH {
        return Err(DataError::TooDeep(path.to_owned()));
    }
    let length = match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    if length > limits::LIST_ITEMS {
        return Err(DataError::TooLong(path.to_owned()));
    }
    match value {
        Value::Array(list) => list.iter().try_for_each(|item| bounded(path, item, depth + 1)),
        Value::Object(map) => map.values().try_for_each(|item| bounded(path, item, depth + 1)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_is_the_contacts_day() {
        let mut context = RenderContext::sample();
        context.now = "2027-03-05T20:00:00Z".parse().unwrap();
        assert_eq!(Data::of(&context, "en").unwrap().value()["today"], "2027-03-06");
    }

    #[test]
    fn formats_follow_the_person_within_the_contents_language() {
        let context = RenderContext::sample();
        assert_eq!(
            Data::of(&context, "en").unwrap().value()[FORMAT]["locale"],
            "en-GB"
        );
        assert_eq!(
            Data::of(&context, "zh-Hans").unwrap().value()[FORMAT]["locale"],
            "zh-Hans"
        );
    }

    #[test]
    fn endless_attributes_are_refused() {
        let mut context = RenderContext::sample();
        context.contact.attr.insert("x".into(), json!(vec![1; 201]));
        assert_eq!(
            Data::of(&context, "en").unwrap_err(),
            DataError::TooLong("contact.attr.x".into())
        );
        context
            .contact
            .attr
            .insert("x".into(), json!([[[[[[[[[1]]]]]]]]]));
        assert_eq!(
            Data::of(&context, "en").unwrap_err(),
            DataError::TooDeep("contact.attr.x".into())
        );
    }
}
