//! The plain body of a mail, made from its HTML.

use html2text::{config, render::TextDecorator};

/// Wide enough that no paragraph is broken: readers wrap lines themselves, and Chinese has no spaces to break at.
const WIDTH: usize = 100_000;

/// Plain text of an HTML document; links stand behind their words.
pub fn from_html(html: &str) -> Result<String, html2text::Error> {
    let text = config::with_decorator(Plain::default())
        .raw_mode(true)
        .allow_width_overflow()
        .string_from_read(html.as_bytes(), WIDTH)?;
    Ok(tidy(&text))
}

/// No blanks at line ends, never two empty lines together, one line end at the end.
#[must_use]
pub fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let line = line.trim_end();
        let line = if line.len() > 3 && line.chars().all(|c| c == '─') {
            "---"
        } else {
            line
        };
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty > 1 || (line.is_empty() && out.is_empty()) {
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    let end = out.trim_end().len();
    out.truncate(end);
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// Words as they are; a link's address in angle brackets behind its words.
#[derive(Debug, Clone, Default)]
struct Plain {
    open: Vec<String>,
}

impl TextDecorator for Plain {
    type Annotation = ();

    fn decorate_link_start(&mut self, url: &str) -> (String, ()) {
        self.open.push(url.to_owned());
        (String::new(), ())
    }

    fn decorate_link_end(&mut self) -> String {
        match self.open.pop() {
            Some(url) if url.starts_with("http") => format!(" <{url}>"),
            Some(url) => format!(
                " <{}>",
                url.trim_start_matches("mailto:").trim_start_matches("tel:")
            ),
            None => String::new(),
        }
    }

    fn decorate_em_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _: &str, title: &str) -> (String, ()) {
        (title.to_owned(), ())
    }

    fn header_prefix(&self, _: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".to_owned()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".to_owned()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_words_lists_and_links() {
        let html = "<html><head><title>no</title><style>p{}</style></head><body><table><tr><td><h1>Hello</h1>\
                    <p>See <a href=\"https://a.example/x\">the <b>prices</b></a>.</p><ul><li>one</li><li>two</li></ul>\
                    <p>价格一目了然</p></td></tr></table></body></html>";
        assert_eq!(
            from_html(html).unwrap(),
            "Hello\n\nSee the prices <https://a.example/x>.\n- one\n- two\n\n价格一目了然\n"
        );
    }
}
