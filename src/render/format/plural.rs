//! `{{plural N one="# day" other="# days"}}`: the form a number takes in the reader's language; `#` is the number.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson};
use icu_plurals::{PluralCategory, PluralRules, PluralRulesOptions};

use super::{argument, decimal, format_locale, named, number, wrong};

pub struct Plural;

impl HelperDef for Plural {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let Some(value) = argument(helper, "plural")? else {
            return Ok(ScopedJson::Derived("".into()));
        };
        let amount = decimal(value, "plural")?.normalize();
        let locale = format_locale(context);
        let other = named(helper, "other").ok_or_else(|| wrong("plural", "`other` is required"))?;
        let digits = amount
            .to_string()
            .parse::<icu_decimal::input::Decimal>()
            .map_err(|error| wrong("plural", &format!("{error:?}")))?;
        let rules = PluralRules::try_new((&locale).into(), PluralRulesOptions::default())
            .map_err(|error| wrong("plural", &error.to_string()))?;
        let form = match rules.category_for(&digits) {
            PluralCategory::Zero => "zero",
            PluralCategory::One => "one",
            PluralCategory::Two => "two",
            PluralCategory::Few => "few",
            PluralCategory::Many => "many",
            PluralCategory::Other => "other",
        };
        let text = named(helper, form)
            .unwrap_or(other)
            .replace('#', &number::write(&locale, amount)?);
        Ok(ScopedJson::Derived(text.into()))
    }
}
