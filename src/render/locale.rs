//! Which language of a template a person gets: the exact tag, else the same language in the same script, else the
//! default. A reader of Traditional Chinese never gets Simplified, nor the other way round, not even as a default.

use icu_locale::{Locale, LocaleExpander, subtags};

/// The best of `available` for a person who reads `wanted`, or none when nothing fits.
pub fn choose<'a>(
    wanted: &str,
    default: &str,
    available: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    nearest(wanted, available.clone()).or_else(|| {
        // The default is for those who read another language; another script of one's own is not that.
        let allowed = match (writing(wanted), writing(default)) {
            (Some(own), Some(other)) => own.language != other.language || own == other,
            _ => true,
        };
        allowed.then(|| nearest(default, available)).flatten()
    })
}

/// The exact tag, else the same language in the same script, one without a region first.
pub fn nearest<'a>(wanted: &str, available: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let exact = parse(wanted)?;
    let own = writing(wanted)?;
    let mut same: Option<(bool, &str)> = None;
    for tag in available {
        let Some(candidate) = parse(tag) else { continue };
        if candidate.id == exact.id {
            return Some(tag);
        }
        let regional = candidate.id.region.is_some();
        if writing(tag).as_ref() == Some(&own) && same.is_none_or(|(held, _)| held && !regional) {
            same = Some((regional, tag));
        }
    }
    same.map(|(_, tag)| tag)
}

/// Whether two tags name one language in one script.
#[must_use]
pub fn same_writing(one: &str, other: &str) -> bool {
    matches!((writing(one), writing(other)), (Some(one), Some(other)) if one == other)
}

/// Whether a tag can be read at all.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    parse(tag).is_some_and(|locale| !locale.id.language.is_unknown())
}

/// A tag as ICU takes it; `zh_CN` counts as `zh-CN`.
pub(super) fn parse(tag: &str) -> Option<Locale> {
    Locale::try_from_str(&tag.trim().replace('_', "-")).ok()
}

#[derive(PartialEq, Eq)]
struct Writing {
    language: subtags::Language,
    script: Option<subtags::Script>,
}

/// Language and script, the likely script where the tag names none: `zh-TW` is written in Traditional.
fn writing(tag: &str) -> Option<Writing> {
    let mut locale = parse(tag)?;
    LocaleExpander::new_extended().maximize(&mut locale.id);
    Some(Writing {
        language: locale.id.language,
        script: locale.id.script,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: [&str; 2] = ["en", "zh-Hans"];

    #[test]
    fn regions_fall_back_to_language_and_script() {
        assert_eq!(choose("en-GB", "en", SHIPPED), Some("en"));
        assert_eq!(choose("zh-CN", "en", SHIPPED), Some("zh-Hans"));
        assert_eq!(choose("zh", "en", SHIPPED), Some("zh-Hans"));
        assert_eq!(choose("zh_SG", "en", SHIPPED), Some("zh-Hans"));
        assert_eq!(choose("en-GB", "en", ["en", "en-GB"]), Some("en-GB"));
        assert_eq!(choose("en-AU", "zh-Hans", ["en-GB", "zh-Hans"]), Some("en-GB"));
        assert_eq!(choose("en-AU", "zh-Hans", ["en-GB", "en"]), Some("en"));
    }

    #[test]
    fn traditional_never_gets_simplified() {
        for tag in ["zh-TW", "zh-Hant", "zh-HK", "zh-Hant-MO"] {
            assert_eq!(choose(tag, "en", SHIPPED), Some("en"), "{tag}");
            assert_eq!(choose(tag, "zh-Hans", SHIPPED), None, "{tag}");
            assert_eq!(choose(tag, "en", ["en", "zh-Hant"]), Some("zh-Hant"), "{tag}");
        }
        assert_eq!(choose("zh-CN", "zh-Hant", ["zh-Hant"]), None);
    }

    #[test]
    fn others_and_the_unreadable_get_the_default() {
        assert_eq!(choose("fr", "en", SHIPPED), Some("en"));
        assert_eq!(choose("", "en", SHIPPED), Some("en"));
        assert_eq!(choose("not a tag", "zh-CN", SHIPPED), Some("zh-Hans"));
        assert_eq!(choose("fr", "de", SHIPPED), None);
    }
}
