//! An HTML part on its way to a mail: styles moved into the elements, links counted, the open image put in.

use css_inline::{CSSInliner, InlineError};

use super::links::{self, Fate, LinkMaker};

/// Moves the rules of `<style>` into the elements they are for; media queries stay. Nothing is loaded from anywhere.
pub fn inline(html: &str) -> Result<String, InlineError> {
    let options = CSSInliner::options()
        .load_remote_stylesheets(false)
        .keep_style_tags(false)
        .keep_at_rules(true);
    options.build().inline(html)
}

/// Rewrites the anchors of a document that [`inline`] wrote, whose attributes are all in double quotes.
pub fn link(html: &str, own: &[&str], maker: &dyn LinkMaker) -> String {
    let mut out = String::with_capacity(html.len() + 512);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = markup_length(rest);
        let (markup, after) = rest.split_at(length);
        if markup.len() > 3 && markup[..3].eq_ignore_ascii_case("<a ") {
            out.push_str(&anchor(markup, own, maker));
        } else {
            out.push_str(markup);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Puts an image of one point before the end of the body.
#[must_use]
pub fn with_pixel(html: &str, address: &str) -> String {
    let image = format!(
        "<img src=\"{}\" width=\"1\" height=\"1\" alt=\"\" style=\"display:block;border:0;width:1px;height:1px\">",
        attribute(address)
    );
    match html.rfind("</body>") {
        Some(at) => format!("{}{image}{}", &html[..at], &html[at..]),
        None => format!("{html}{image}"),
    }
}

/// Length of the comment, style block or tag that `rest` starts with.
fn markup_length(rest: &str) -> usize {
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    if rest.starts_with("<!--") {
        return until("-->");
    }
    if rest.starts_with("<style") {
        return until("</style>");
    }
    let mut quoted = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'>' if !quoted => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn anchor(markup: &str, own: &[&str], maker: &dyn LinkMaker) -> String {
    let pairs = attributes(markup);
    let value = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let fate = match value("href") {
        Some(href) => links::of_anchor(href, value("data-tag"), value("data-track"), own, maker),
        None => Fate::Stays,
    };
    let mut out = "<a".to_owned();
    for (name, value) in &pairs {
        let value = match (name.as_str(), &fate) {
            ("data-tag" | "data-track", _) | ("href", Fate::Goes) => continue,
            ("href", Fate::Becomes(address)) => address,
            _ => value,
        };
        out.extend([" ", name.as_str(), "=\"", &attribute(value), "\""]);
    }
    out.push('>');
    out
}

/// Names and plain values of the attributes of a start tag.
fn attributes(markup: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = markup.trim_start_matches("<a").trim_end_matches('>');
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, more)) = after.split_once('"') else {
            break;
        };
        pairs.push((name.trim().to_ascii_lowercase(), plain(value)));
        rest = more;
    }
    pairs
}

/// Undoes what a serialiser escapes in an attribute.
fn plain(value: &str) -> String {
    if !value.contains('&') {
        return value.to_owned();
    }
    value
        .replace("&quot;", "\"")
        .replace("&nbsp;", "\u{a0}")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

fn attribute(value: &str) -> String {
    if !value.contains(['&', '"', '<', '>']) {
        return value.to_owned();
    }
    value
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Numbers the links and remembers them.
    #[derive(Default)]
    struct Counting(RefCell<Vec<String>>);

    impl LinkMaker for Counting {
        fn track(&self, target: &str, tag: Option<&str>) -> String {
            let mut seen = self.0.borrow_mut();
            seen.push(format!("{target} {}", tag.unwrap_or("-")));
            format!("https://t.example/c/{}", seen.len())
        }
    }

    fn linked(html: &str) -> (String, Vec<String>) {
        let maker = Counting::default();
        let html = link(&inline(html).unwrap(), &["https://a.example/u?x=1&y=2"], &maker);
        (html, maker.0.into_inner())
    }

    #[test]
    fn styles_move_into_their_elements_and_media_queries_stay() {
        let html = inline("<html><head><style>p{color:red}@media (max-width:600px){p{color:blue}}</style></head><body><p>x</p></body></html>").unwrap();
        assert!(html.contains("<p style=\"color: red;\">"), "{html}");
        assert!(html.contains("@media"), "{html}");
    }

    #[test]
    fn web_links_are_counted_with_their_tag() {
        let (html, seen) =
            linked("<a class='b' href='https://a.example/?a=1&amp;b=\"2\"' data-tag=pricing>prices</a>");
        assert_eq!(seen, ["https://a.example/?a=1&b=\"2\" pricing"]);
        assert!(
            html.contains("<a class=\"b\" href=\"https://t.example/c/1\">prices</a>"),
            "{html}"
        );
    }

    #[test]
    fn own_and_other_links_are_left_alone() {
        let (html, seen) = linked(
            "<a href='mailto:x@y.example'>m</a><a href='tel:+4420'>t</a><a href='https://a.example/u?x=1&amp;y=2'>u</a>\
             <a data-track=no href=https://b.example/>b</a><a name=here>h</a><!-- <a href='https://c.example'> -->",
        );
        assert!(seen.is_empty(), "{seen:?}");
        for kept in [
            "mailto:x@y.example",
            "tel:+4420",
            "https://a.example/u?x=1&amp;y=2",
            "https://b.example/",
        ] {
            assert!(html.contains(&format!("<a href=\"{kept}\">")), "{kept} in {html}");
        }
        assert!(html.contains("<a name=\"here\">"), "{html}");
    }

    #[test]
    fn other_kinds_of_address_are_taken_out() {
        let (html, seen) = linked(
            "<a href='javascript:alert(1)'>x</a><a href='  JAVASCRIPT:x'>y</a><a href='data:,x'>z</a>",
        );
        assert!(seen.is_empty());
        assert_eq!(html.matches("<a>").count(), 3, "{html}");
    }

    #[test]
    fn the_image_stands_last_in_the_body() {
        let html = with_pixel("<html><body>x</body></html>", "https://t.example/o?a=1&b=2");
        assert!(html.ends_with("height:1px\"></body></html>"), "{html}");
        assert!(html.contains("?a=1&amp;b=2"), "{html}");
    }
}
