//! `{{date WHEN style}}`: a day or an instant as the reader writes it, instants in the reader's zone.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use chrono_tz::Tz;
use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson};
use icu_datetime::{
    DateTimeFormatter, NoCalendarFormatter,
    fieldsets::{E, MD, T, YM, YMD, YMDE},
    input::{Date as IcuDate, DateTime as IcuDateTime, Time},
};
use icu_locale::Locale;

use super::{FORMAT, argument, format_locale, short, wrong};
use crate::config::problem::nearest;

const STYLES: [&str; 9] = [
    "short", "medium", "long", "full", "weekday", "day", "month", "time", "datetime",
];

pub struct Date;

impl HelperDef for Date {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let style = match helper.param(1) {
            Some(style) => style.value().as_str().unwrap_or_default(),
            None => "medium",
        };
        known_style(style)?;
        let Some(value) = argument(helper, "date")? else {
            return Ok(ScopedJson::Derived("".into()));
        };
        let text = value.as_str().unwrap_or_default();
        let zone = context.data()[FORMAT]["zone"]
            .as_str()
            .and_then(|name| name.parse().ok())
            .unwrap_or(Tz::UTC);
        let local = local_time(text, zone)
            .ok_or_else(|| wrong("date", &format!("`{}` is not a date", short(&value.to_string()))))?;
        let written = write(&format_locale(context), local, style)?;
        Ok(ScopedJson::Derived(written.into()))
    }
}

fn known_style(style: &str) -> Result<(), RenderError> {
    if STYLES.contains(&style) {
        return Ok(());
    }
    let hint = nearest(style, STYLES).map_or_else(
        || format!("; the styles are {}", STYLES.join(", ")),
        |style| format!(" (did you mean {style}?)"),
    );
    Err(wrong("date", &format!("unknown style `{}`{hint}", short(style))))
}

fn local_time(text: &str, zone: Tz) -> Option<NaiveDateTime> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Some(day.and_time(NaiveTime::MIN));
    }
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|instant| instant.with_timezone(&zone).naive_local())
}

fn write(locale: &Locale, local: NaiveDateTime, style: &str) -> Result<String, RenderError> {
    let failed = |error: &dyn std::fmt::Display| wrong("date", &error.to_string());
    let date = IcuDate::try_new_iso(local.year(), local.month() as u8, local.day() as u8)
        .map_err(|error| failed(&error))?;
    let time =
        Time::try_new(local.hour() as u8, local.minute() as u8, 0, 0).map_err(|error| failed(&error))?;
    macro_rules! dated {
        ($fields:expr) => {
            DateTimeFormatter::try_new(locale.into(), $fields)
                .map_err(|error| failed(&error))?
                .format(&date)
                .to_string()
        };
    }
    let text = match style {
        "short" => dated!(YMD::short()),
        "long" => dated!(YMD::long()),
        "full" => dated!(YMDE::long()),
        "weekday" => dated!(E::long()),
        "day" => dated!(MD::long()),
        "month" => dated!(YM::long()),
        "time" => NoCalendarFormatter::try_new(locale.into(), T::hm())
            .map_err(|error| failed(&error))?
            .format(&time)
            .to_string(),
        "datetime" => DateTimeFormatter::try_new(locale.into(), YMD::medium().with_time_hm())
            .map_err(|error| failed(&error))?
            .format(&IcuDateTime { date, time })
            .to_string(),
        _ => dated!(YMD::medium()),
    };
    // A narrow no-break space would turn a whole text message into UCS-2.
    Ok(text.replace('\u{202f}', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(locale: &str, style: &str) -> String {
        let local = local_time("2027-03-05T06:30:00Z", chrono_tz::Asia::Shanghai).unwrap();
        write(&locale.parse().unwrap(), local, style).unwrap()
    }

    #[test]
    fn styles_in_english_and_chinese() {
        assert_eq!(written("en-US", "short"), "3/5/27");
        assert_eq!(written("en-US", "medium"), "Mar 5, 2027");
        assert_eq!(written("en-GB", "long"), "5 March 2027");
        assert_eq!(written("en-US", "full"), "Friday, March 5, 2027");
        assert_eq!(written("en", "weekday"), "Friday");
        assert_eq!(written("en", "day"), "March 5");
        assert_eq!(written("en", "month"), "March 2027");
        assert_eq!(written("en-US", "time"), "2:30 PM");
        assert_eq!(written("zh-Hans", "long"), "2027年3月5日");
        assert_eq!(written("zh-Hans", "weekday"), "星期五");
        assert_eq!(written("zh-Hans", "day"), "3月5日");
        assert_eq!(written("zh-Hans", "time"), "14:30");
        assert_eq!(written("de", "long"), "5. März 2027");
    }

    #[test]
    fn an_unknown_style_is_named() {
        let error = known_style("lng").unwrap_err();
        assert!(error.to_string().contains("did you mean `long`"), "{error}");
    }
}
