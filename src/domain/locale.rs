//! Languages of people and templates: tags, and which language of a text a person gets: the exact tag, else the same
//! language in the same script, else the default. A reader of Traditional Chinese never gets Simplified, nor the other way
//! round, not even as a default.

use std::fmt;

use icu_locale::{LanguageIdentifier, Locale, LocaleCanonicalizer, LocaleExpander, subtags};

use super::text::{Malformed, text_form};

/// A BCP 47 language tag in its canonical form (`zh-TW`, `en`, `pt-BR`), without extensions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocaleTag(LanguageIdentifier);

impl LocaleTag {
    /// Reads a tag in any case, with `-` or `_`; obsolete codes become the present ones (`iw` is `he`).
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let refused = || {
            Malformed::new(format!(
                "{text:?} is not a language tag such as en, pt-BR or zh-Hant"
            ))
        };
        let mut locale = read(text).ok_or_else(refused)?;
        LocaleCanonicalizer::new_common().canonicalize(&mut locale);
        let tag = locale.id;
        if tag.language.is_unknown() {
            return Err(refused());
        }
        Ok(Self(tag))
    }
}

impl fmt::Display for LocaleTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

text_form!(LocaleTag);

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
    let exact = read(wanted)?;
    let own = writing(wanted)?;
    let mut same: Option<(bool, &str)> = None;
    for tag in available {
        let Some(candidate) = read(tag) else { continue };
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
    read(tag).is_some_and(|locale| !locale.id.language.is_unknown())
}

/// A tag as ICU takes it; `zh_CN` counts as `zh-CN`. `None` when it cannot be read.
pub fn read(tag: &str) -> Option<Locale> {
    tag.trim().replace('_', "-").parse().ok()
}

#[derive(PartialEq, Eq)]
struct Writing {
    language: subtags::Language,
    script: Option<subtags::Script>,
}

/// Language and script, the likely script where the tag names none: `zh-TW` is written in Traditional.
fn writing(tag: &str) -> Option<Writing> {
    let mut locale = read(tag)?;
    LocaleExpander::new_extended().maximize(&mut locale.id);
    Some(Writing {
        language: locale.id.language,
        script: locale.id.script,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHIPPED: [&str; 2] = ["en", "zh-Hans"];

    #[test]
    fn canonical_forms() {
        for (text, canonical) in [
            ("EN", "en"),
            ("zh_cn", "zh-CN"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("iw", "he"),
            (" pt-br ", "pt-BR"),
        ] {
            assert_eq!(LocaleTag::parse(text).unwrap().to_string(), canonical);
        }
        for text in ["", "english", "e", "zh-", "und", "12", "zh CN"] {
            assert!(LocaleTag::parse(text).is_err(), "{text:?}");
        }
    }

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
        assert_eq!(choose("sr-Latn", "sr", ["sr"]), None);
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_back(text in "[a-zA-Z_-]{0,12}") {
            if let Ok(tag) = LocaleTag::parse(&text) {
                prop_assert_eq!(LocaleTag::parse(&tag.to_string()).unwrap(), tag);
            }
        }
    }
}
