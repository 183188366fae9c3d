//! `{{link URL tag="pricing"}}`: an address that is counted when it is opened; and `{{body}}`, a layout's hole.
//!
//! The helper cannot know the message's links, so it leaves marks around address and tag, and the message puts the
//! counted address in their place. The marks are three private characters that no value can bring in: every value
//! passes [`unmarked`] on its way out.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError,
    RenderErrorReason,
};

use super::{argument, named, short, wrong};
use crate::render::data::BODY;

const OPEN: char = '\u{f8f0}';
const BETWEEN: char = '\u{f8f1}';
const CLOSE: char = '\u{f8f2}';

/// Takes the marks out of a value.
pub fn unmarked(text: &str) -> String {
    text.replace([OPEN, BETWEEN, CLOSE], "")
}

/// A marked link in rendered text.
#[derive(Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    /// What stands before it.
    pub before: &'a str,
    /// The address, as it was given.
    pub url: &'a str,
    /// The tag, if it has one.
    pub tag: Option<&'a str>,
    /// What stands behind it.
    pub after: &'a str,
}

/// The first marked link of a text.
pub fn next_mark(text: &str) -> Option<Mark<'_>> {
    let (before, rest) = text.split_once(OPEN)?;
    let (inside, after) = rest.split_once(CLOSE)?;
    let (url, tag) = inside.split_once(BETWEEN)?;
    Some(Mark {
        before,
        url,
        tag: Some(tag).filter(|tag| !tag.is_empty()),
        after,
    })
}

pub struct Link;

impl HelperDef for Link {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        engine: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let Some(url) = argument(helper, "link")? else {
            return Ok(());
        };
        let url = url.as_str().unwrap_or_default();
        let parsed = url::Url::parse(url).map_err(|_| not_a_link(url))?;
        if !matches!(parsed.scheme(), "http" | "https") || url.contains(char::is_whitespace) {
            return Err(not_a_link(url));
        }
        let tag = named(helper, "tag").unwrap_or_default();
        let escape = engine.get_escape_fn();
        out.write(&format!("{OPEN}{}{BETWEEN}{}{CLOSE}", escape(url), escape(tag)))?;
        Ok(())
    }
}

fn not_a_link(url: &str) -> RenderError {
    wrong(
        "link",
        &format!("`{}` is not an http or https address", short(url)),
    )
}

pub struct Body;

impl HelperDef for Body {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let body = context.data()[BODY]
            .as_str()
            .ok_or_else(|| RenderErrorReason::Other("body: only a layout has one".to_owned()))?;
        out.write(body)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_and_cannot_be_smuggled_in() {
        let text = format!("see {OPEN}https://a.example{BETWEEN}pricing{CLOSE}.");
        let mark = next_mark(&text).unwrap();
        assert_eq!(
            (mark.before, mark.url, mark.tag, mark.after),
            ("see ", "https://a.example", Some("pricing"), ".")
        );
        assert_eq!(next_mark(&unmarked(&text)), None);
    }
}
