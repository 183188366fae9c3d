//! Languages of people and templates.

use std::fmt;

use icu_locale::{LanguageIdentifier, Locale, LocaleCanonicalizer, LocaleExpander};

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
        let mut locale: Locale = text.trim().replace('_', "-").parse().map_err(|_| refused())?;
        LocaleCanonicalizer::new_common().canonicalize(&mut locale);
        let tag = locale.id;
        if tag.language.is_unknown() {
            return Err(refused());
        }
        Ok(Self(tag))
    }

    /// The language alone, such as `zh`.
    pub fn language(&self) -> &str {
        self.0.language.as_str()
    }

    /// Language and script with the likely script filled in: `zh-TW` is written in Hant, `zh` in Hans.
    fn written(&self) -> (icu_locale::subtags::Language, Option<icu_locale::subtags::Script>) {
        let mut full = self.0.clone();
        LocaleExpander::new_extended().maximize(&mut full);
        (full.language, full.script)
    }

    /// The available tag that serves this one best: the same tag, else one of the same language in the same script
    /// (the one without a region first), else the default. A language in another script than asked for never serves:
    /// a reader of Traditional Chinese is not sent Simplified, not even as the default.
    pub fn fallback<'a>(&self, available: &'a [LocaleTag], default: &LocaleTag) -> Option<&'a LocaleTag> {
        if let Some(same) = available.iter().find(|tag| *tag == self) {
            return Some(same);
        }
        let wanted = self.written();
        let readable = |tag: &&LocaleTag| tag.written() == wanted;
        available
            .iter()
            .filter(readable)
            .min_by_key(|tag| tag.0.region.is_some())
            .or_else(|| {
                available
                    .iter()
                    .find(|tag| *tag == default && tag.written().0 != wanted.0)
            })
    }
}

impl fmt::Display for LocaleTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

text_form!(LocaleTag);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(text: &str) -> Vec<LocaleTag> {
        text.split_whitespace()
            .map(|tag| LocaleTag::parse(tag).unwrap())
            .collect()
    }

    fn choose(wanted: &str, available: &str, default: &str) -> Option<String> {
        let default = LocaleTag::parse(default).unwrap();
        LocaleTag::parse(wanted)
            .unwrap()
            .fallback(&tags(available), &default)
            .map(LocaleTag::to_string)
    }

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
    fn exact_then_script_then_default() {
        let some = |tag: &str| Some(tag.to_owned());
        assert_eq!(choose("zh-TW", "en zh-CN zh-TW", "en"), some("zh-TW"));
        assert_eq!(choose("zh-HK", "en zh-CN zh-TW", "en"), some("zh-TW"));
        assert_eq!(choose("zh-TW", "en zh-CN zh-Hant", "en"), some("zh-Hant"));
        assert_eq!(choose("zh-SG", "en zh-TW zh-CN", "en"), some("zh-CN"));
        assert_eq!(choose("zh", "en zh-TW zh-CN", "en"), some("zh-CN"));
        assert_eq!(choose("en-AU", "en-US en zh-CN", "zh-CN"), some("en"));
        assert_eq!(choose("en-AU", "de en-GB en-US", "de"), some("en-GB"));
        assert_eq!(choose("fr", "en zh-CN", "zh-CN"), some("zh-CN"));
    }

    #[test]
    fn traditional_never_gets_simplified() {
        assert_eq!(choose("zh-TW", "en zh-CN", "en"), Some("en".to_owned()));
        assert_eq!(choose("zh-TW", "en zh-CN", "zh-CN"), None);
        assert_eq!(choose("zh-CN", "zh-TW", "zh-TW"), None);
        assert_eq!(choose("sr-Latn", "sr", "sr"), None);
        assert_eq!(choose("fr", "en", "de"), None);
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
