//! Which language a page is in.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE};
use axum::http::request::Parts;

use crate::domain::locale::nearest;

/// Languages that the pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Simplified Chinese.
    Simplified,
    /// Traditional Chinese; only for recipients.
    Traditional,
}

/// The cookie that keeps the choice.
pub const COOKIE_NAME: &str = "kith_lang";

impl Language {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::English, Self::Simplified, Self::Traditional];

    /// The language tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Simplified => "zh-Hans",
            Self::Traditional => "zh-Hant",
        }
    }

    /// For a recipient: his language, else the company's, else English.
    pub fn of_recipient(locale: Option<&str>, default: &str) -> Self {
        let tags = Self::ALL.map(Self::tag);
        let found = locale
            .and_then(|wanted| nearest(wanted, tags))
            .or_else(|| nearest(default, tags));
        Self::ALL
            .into_iter()
            .find(|language| Some(language.tag()) == found)
            .unwrap_or(Self::English)
    }

    /// For a colleague: the two languages of the console.
    fn of_word(word: &str) -> Option<Self> {
        let word = word.trim().to_lowercase();
        if word.starts_with("zh") {
            Some(Self::Simplified)
        } else if word.starts_with("en") {
            Some(Self::English)
        } else {
            None
        }
    }

    /// What `?lang=` asks for.
    pub fn asked(query: Option<&str>) -> Option<Self> {
        url::form_urlencoded::parse(query?.as_bytes())
            .find(|(key, _)| key == "lang")
            .and_then(|(_, word)| Self::of_word(&word))
    }

    /// By `?lang=`, cookie, then the browser's own list.
    pub fn of_parts(parts: &Parts) -> Self {
        Self::asked(parts.uri.query())
            .or_else(|| cookie(parts, COOKIE_NAME).and_then(|word| Self::of_word(&word)))
            .or_else(|| {
                let list = parts.headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
                list.split(',')
                    .find_map(|item| Self::of_word(item.split(';').next().unwrap_or_default()))
            })
            .unwrap_or(Self::English)
    }
}

/// A cookie of the request.
pub fn cookie(parts: &Parts, name: &str) -> Option<String> {
    parts
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

impl<S: Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of_parts(parts))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn of(uri: &str, headers: &[(&str, &str)]) -> Language {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Language::of_parts(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn asked_then_kept_then_the_browsers() {
        let zh = Language::Simplified;
        let both = [("cookie", "a=b; kith_lang=zh-Hans"), ("accept-language", "en")];
        assert_eq!(of("/", &both), zh);
        assert_eq!(of("/?lang=en", &both), Language::English);
        assert_eq!(of("/", &[("accept-language", "fr, zh-CN;q=0.9, en")]), zh);
        assert_eq!(of("/", &[]), Language::English);
    }

    #[test]
    fn a_recipient_reads_his_own_script() {
        for (locale, expected) in [
            (Some("zh-TW"), Language::Traditional),
            (Some("zh-HK"), Language::Traditional),
            (Some("zh-CN"), Language::Simplified),
            (Some("zh"), Language::Simplified),
            (Some("en-GB"), Language::English),
            (Some("de"), Language::Simplified),
            (None, Language::Simplified),
        ] {
            assert_eq!(Language::of_recipient(locale, "zh-Hans"), expected, "{locale:?}");
        }
        assert_eq!(Language::of_recipient(Some("de"), "fr"), Language::English);
    }
}
