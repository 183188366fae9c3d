//! `{{money AMOUNT CURRENCY}}`: an amount with its currency, as the reader writes it.

use handlebars::{Context, Handlebars, Helper, HelperDef, JsonValue, RenderContext, RenderError, ScopedJson};
use icu_locale::Locale;
use rust_decimal::Decimal;

use super::{argument, decimal, format_locale, number, short, wrong};

pub struct Money;

impl HelperDef for Money {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let Some(value) = argument(helper, "money")? else {
            return Ok(ScopedJson::Derived("".into()));
        };
        let amount = decimal(value, "money")?;
        let code = match helper.param(1).map(handlebars::PathAndJson::value) {
            // An amount of unknown currency is still an amount.
            None | Some(JsonValue::Null) => {
                let plain = number::write(&format_locale(context), number::rounded(amount, 2))?;
                return Ok(ScopedJson::Derived(plain.into()));
            }
            Some(code) => code.as_str().unwrap_or_default(),
        };
        if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong(
                "money",
                &format!("`{}` is not a currency code such as EUR", short(code)),
            ));
        }
        Ok(ScopedJson::Derived(
            write(&format_locale(context), amount, code)?.into(),
        ))
    }
}

fn write(locale: &Locale, amount: Decimal, code: &str) -> Result<String, RenderError> {
    let number = number::write(locale, number::rounded(amount.abs(), minor_digits(code)))?;
    let minus = if amount.is_sign_negative() && !amount.is_zero() {
        "-"
    } else {
        ""
    };
    let symbol = symbol(code, locale);
    // A bare code needs a space to be read; a symbol stands close before the number and apart behind it.
    Ok(if symbol_behind(locale) {
        format!("{minus}{number}\u{a0}{symbol}")
    } else if symbol == code {
        format!("{minus}{code}\u{a0}{number}")
    } else {
        format!("{minus}{symbol}{number}")
    })
}

/// Digits behind the point (ISO 4217).
fn minor_digits(code: &str) -> u32 {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// The sign a reader knows; where one sign means several currencies, only its home reads it bare (CLDR's habit).
fn symbol<'a>(code: &'a str, locale: &Locale) -> &'a str {
    let language = locale.id.language.as_str();
    let region = locale.id.region.as_ref().map_or("", |region| region.as_str());
    match (code, language, region) {
        ("CNY", "zh", _) => "¥",
        ("CNY", ..) => "CN¥",
        ("JPY", "zh", _) => "JP¥",
        ("JPY", ..) => "¥",
        ("USD", "en", "" | "US") | ("USD", "es", "US" | "PR") | ("TWD", "zh", "TW") => "$",
        ("USD", "en" | "zh", _) => "US$",
        ("USD", ..) => "$",
        ("TWD", ..) => "NT$",
        ("HKD", ..) => "HK$",
        ("EUR", ..) => "€",
        ("GBP", ..) => "£",
        ("INR", ..) => "₹",
        ("KRW", ..) => "₩",
        ("VND", ..) => "₫",
        _ => code,
    }
}

/// Languages that write the sign behind the number (CLDR's standard currency pattern).
fn symbol_behind(locale: &Locale) -> bool {
    let region = locale.id.region.as_ref().map_or("", |region| region.as_str());
    match locale.id.language.as_str() {
        "be" | "bg" | "bs" | "ca" | "cs" | "da" | "el" | "et" | "eu" | "fi" | "fr" | "gl" | "hr" | "hu"
        | "hy" | "is" | "it" | "ka" | "kk" | "lt" | "lv" | "mk" | "nb" | "nn" | "no" | "pl" | "ro" | "ru"
        | "sk" | "sl" | "sq" | "sr" | "sv" | "uk" | "vi" => true,
        "de" => !matches!(region, "AT" | "CH" | "LI"),
        "es" => matches!(region, "" | "ES"),
        "pt" => region == "PT",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(locale: &str, amount: &str, code: &str) -> String {
        write(&locale.parse().unwrap(), amount.parse().unwrap(), code).unwrap()
    }

    #[test]
    fn amounts_as_readers_write_them() {
        assert_eq!(written("en", "9110.5", "USD"), "$9,110.50");
        assert_eq!(written("en-GB", "9110.5", "USD"), "US$9,110.50");
        assert_eq!(written("en", "9110.5", "CNY"), "CN¥9,110.50");
        assert_eq!(written("zh-Hans", "9110.5", "CNY"), "¥9,110.50");
        assert_eq!(written("de", "9110.5", "EUR"), "9.110,50\u{a0}€");
        assert_eq!(written("en", "-12", "CHF"), "-CHF\u{a0}12.00");
        assert_eq!(written("ja", "1999.6", "JPY"), "¥2,000");
    }
}
