//! What is judged about a part besides its names: that it can be parsed at all, and rules of its kind.

use handlebars::{Template, TemplateErrorReason};

use super::{scan, walk::Parsed};
use crate::config::Problem;

/// Scans and parses one file.
pub fn parse(file: &str, source: &str) -> Result<Parsed, Vec<Problem>> {
    let problems = scan::scan(file, source);
    if !problems.is_empty() {
        return Err(problems);
    }
    match Template::compile_with_name(source, file.to_owned()) {
        Ok(template) => Ok(Parsed {
            file: file.to_owned(),
            template,
        }),
        Err(error) => {
            let place = error.pos().unwrap_or((1, 1));
            let reason = match error.reason() {
                // The parser's own text is a picture of many lines; its last says what it missed.
                TemplateErrorReason::InvalidSyntax(text) => {
                    let last = text
                        .lines()
                        .map(str::trim)
                        .rfind(|line| !line.is_empty())
                        .unwrap_or_default();
                    format!(
                        "cannot be read as a template: {}",
                        last.trim_start_matches(['=', ' '])
                    )
                }
                other => other.to_string(),
            };
            Err(vec![Problem::at(file, place, reason)])
        }
    }
}

/// Rules of the kind of part, read from its source.
pub fn kind(file: &str, part: &str, source: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |offset: usize, reason: &str| {
        problems.push(Problem::at(file, scan::position(source, offset), reason));
    };
    match part {
        "subject" => {
            let text = source.trim_end();
            if text.trim().is_empty() {
                refuse(0, "the subject is empty");
            } else if let Some(line_end) = text.find('\n') {
                refuse(line_end, "a subject is one line");
            }
        }
        "html" => {
            let lower = source.to_ascii_lowercase();
            for (tag, reason) in [
                ("<script", "scripts do not run in mail and are not allowed"),
                ("<form", "forms are not allowed in mail; link to a page"),
                ("<link", "style sheets are not loaded from elsewhere; use <style>"),
                ("<iframe", "frames are not allowed in mail"),
                (
                    "@import",
                    "style sheets are not loaded from elsewhere; use <style>",
                ),
            ] {
                if let Some(at) = lower.find(tag) {
                    refuse(at, reason);
                }
            }
        }
        _ if source.trim().is_empty() => refuse(0, "this part is empty; remove the file to leave it out"),
        _ => {}
    }
    problems
}

/// The layout an HTML part asks for in a first comment such as `{{!-- layout: wide --}}`; `plain` otherwise.
pub fn layout(html: &str) -> &str {
    html.trim_start()
        .strip_prefix("{{!")
        .and_then(|rest| rest.split_once("}}"))
        .and_then(|(comment, _)| comment.trim_matches(['-', ' ']).strip_prefix("layout:"))
        .map_or("plain", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_asked_for_in_the_first_comment() {
        assert_eq!(layout("<p>{{! layout: wide }}"), "plain");
        assert_eq!(layout("{{!-- layout: wide --}}\n<p>"), "wide");
        assert_eq!(layout("{{! layout: wide }}"), "wide");
    }

    #[test]
    fn syntax_errors_are_short_and_placed() {
        let problem = parse("t", "a\n{{#if x}}").err().unwrap().remove(0);
        assert_eq!(problem.line, 2);
        assert_eq!(problem.reason.lines().count(), 1);
    }

    #[test]
    fn kinds_have_their_rules() {
        assert!(kind("t", "subject", "one\n").is_empty());
        assert_eq!(
            (
                kind("t", "subject", "one\ntwo")[0].line,
                kind("t", "subject", " \n").len()
            ),
            (1, 1)
        );
        assert_eq!(kind("t", "html", "<p>\n<SCRIPT>")[0].line, 2);
        assert_eq!(kind("t", "sms", " ").len(), 1);
    }
}
