//! `{{number N decimals=2}}`: a number with the reader's separators.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson};
use icu_decimal::{DecimalFormatter, options::DecimalFormatterOptions};
use icu_locale::Locale;
use rust_decimal::{Decimal, RoundingStrategy};

use super::{argument, decimal, format_locale, wrong};

pub struct Number;

impl HelperDef for Number {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let Some(value) = argument(helper, "number")? else {
            return Ok(ScopedJson::Derived("".into()));
        };
        let amount = decimal(value, "number")?;
        let decimals = helper
            .hash_get("decimals")
            .and_then(|value| value.value().as_u64());
        let amount = match decimals {
            Some(places) => rounded(amount, places.min(12) as u32),
            None => amount.normalize(),
        };
        Ok(ScopedJson::Derived(
            write(&format_locale(context), amount)?.into(),
        ))
    }
}

/// Rounds half away from zero, as bills do, and fills up with zeros.
pub fn rounded(amount: Decimal, places: u32) -> Decimal {
    let mut amount = amount.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
    amount.rescale(places);
    amount
}

/// A number with the separators and digits of a locale.
pub fn write(locale: &Locale, amount: Decimal) -> Result<String, RenderError> {
    let failed = |reason: String| wrong("number", &reason);
    let digits = amount
        .to_string()
        .parse::<icu_decimal::input::Decimal>()
        .map_err(|error| failed(format!("{error:?}")))?;
    let formatter = DecimalFormatter::try_new(locale.into(), DecimalFormatterOptions::default())
        .map_err(|error| failed(error.to_string()))?;
    Ok(formatter.format(&digits).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_follow_the_locale() {
        let amount: Decimal = "1234567.5".parse().unwrap();
        assert_eq!(
            write(&"en".parse().unwrap(), rounded(amount, 2)).unwrap(),
            "1,234,567.50"
        );
        assert_eq!(
            write(&"de".parse().unwrap(), rounded(amount, 2)).unwrap(),
            "1.234.567,50"
        );
        assert_eq!(
            write(&"zh-Hans".parse().unwrap(), rounded(amount, 0)).unwrap(),
            "1,234,568"
        );
    }
}
