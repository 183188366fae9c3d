//! The links of a message: which are counted, which are left alone, which are taken out.

use super::format::{Mark, next_mark};

/// Gives a message its own addresses. Called in the order of the links, the same in every rendering of a message.
pub trait LinkMaker {
    /// The address to put in for `target`.
    fn track(&self, target: &str, tag: Option<&str>) -> String;

    /// The address of an image that says that the mail was opened, when opens are to be seen.
    fn pixel(&self) -> Option<String> {
        None
    }
}

/// Leaves every address as it is: for previews and for messages that are not to be watched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Untracked;

impl LinkMaker for Untracked {
    fn track(&self, target: &str, _: Option<&str>) -> String {
        target.to_owned()
    }
}

/// Puts counted addresses in the place of the marked ones of a plain text.
pub fn in_text(text: &str, maker: &dyn LinkMaker) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(Mark {
        before,
        url,
        tag,
        after,
    }) = next_mark(rest)
    {
        out.push_str(before);
        out.push_str(&maker.track(url, tag));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What becomes of the address of an anchor.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// This address instead.
    Becomes(String),
    /// Stays as it is.
    Stays,
    /// Goes: a kind of address that has no place in a mail, such as `javascript:`.
    Goes,
}

/// Decides about one anchor: `own` are the message's own addresses, `tag` and `track` its data attributes.
pub fn of_anchor(
    href: &str,
    tag: Option<&str>,
    track: Option<&str>,
    own: &[&str],
    maker: &dyn LinkMaker,
) -> Fate {
    let (target, marked) = match next_mark(href) {
        Some(mark) => (mark.url, mark.tag),
        None => (href, None),
    };
    let target = target.trim();
    let lower = target.to_ascii_lowercase();
    let stays = |target: &str| {
        if target == href {
            Fate::Stays
        } else {
            Fate::Becomes(target.to_owned())
        }
    };
    if lower.starts_with("http://") || lower.starts_with("https://") {
        if track == Some("no") || own.contains(&target) {
            stays(target)
        } else {
            Fate::Becomes(maker.track(target, tag.or(marked)))
        }
    } else if target.starts_with('#')
        || ["mailto:", "tel:", "sms:"]
            .iter()
            .any(|kind| lower.starts_with(kind))
    {
        stays(target)
    } else {
        Fate::Goes
    }
}
