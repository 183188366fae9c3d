//! A look at a template before it is parsed: finds its tags with a loop instead of recursion, and refuses what would
//! overflow the parser's stack and what kith's language leaves out.

use super::limits;
use crate::config::Problem;

/// Judges one file. Nothing may be parsed that this has not passed.
pub fn scan(file: &str, source: &str) -> Vec<Problem> {
    if source.len() > limits::SOURCE_BYTES {
        return vec![Problem::of_file(
            file,
            format!(
                "{} bytes; a template file may have {}",
                source.len(),
                limits::SOURCE_BYTES
            ),
        )];
    }
    let mut problems = Vec::new();
    // One entry per open block: how much depth it holds (itself and its conditional `else` branches).
    let mut open: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    let mut rest = 0_usize;
    while let Some(found) = source[rest..].find("{{") {
        let start = rest + found;
        let here = || position(source, start);
        if escaped(source, start) {
            rest = start + 2;
            continue;
        }
        let tag = match read_tag(source, start) {
            Ok(tag) => tag,
            Err(reason) => {
                problems.push(Problem::at(file, here(), reason));
                return problems;
            }
        };
        rest = tag.end;
        match tag.kind {
            Kind::Open => {
                open.push(1);
                depth += 1;
            }
            Kind::ElseIf => {
                if let Some(held) = open.last_mut() {
                    *held += 1;
                    depth += 1;
                }
            }
            Kind::Close => depth -= open.pop().unwrap_or(0),
            Kind::Other => {}
        }
        if depth > limits::BLOCK_DEPTH {
            let reason = format!("blocks are nested deeper than {}", limits::BLOCK_DEPTH);
            problems.push(Problem::at(file, here(), reason));
            return problems;
        }
    }
    problems
}

/// Line and column, both from 1, of a byte offset.
pub fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = &source[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// Exactly one backslash makes a tag plain text; two stand for a backslash.
fn escaped(source: &str, start: usize) -> bool {
    source[..start]
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'\\')
        .count()
        == 1
}

enum Kind {
    Open,
    ElseIf,
    Close,
    Other,
}

struct Tag {
    kind: Kind,
    end: usize,
}

fn read_tag(source: &str, start: usize) -> Result<Tag, &'static str> {
    let body = &source[start + 2..];
    if body.starts_with('!') {
        return comment_end(source, start).map(|end| Tag {
            kind: Kind::Other,
            end,
        });
    }
    // The grammar allows blanks between the braces, the `~` and the sign.
    let inner = body.trim_start();
    let inner = inner.strip_prefix('~').unwrap_or(inner).trim_start();
    let end = start + 2 + (body.len() - inner.len());
    if inner.starts_with(['{', '&']) {
        return Err("`{{{` and `{{&` put text in without escaping it and are not allowed; write `{{ }}`");
    }
    let word = inner.trim_start_matches(['#', '^']).trim_start();
    if inner.starts_with('*') || (inner.starts_with('#') && word.starts_with('*')) {
        return Err("inline partials are not allowed; put the text into _partials/");
    }
    if inner.starts_with('#') && word.starts_with('>') {
        return Err("a partial takes no block here; the layout is put around the html part by itself");
    }
    let end = end + tag_end(inner)?;
    // `{{else if x}}` nests one deeper; a bare `{{else}}` or `{{^}}` does not.
    let conditional = |more: &str| !more.trim_start().starts_with(['}', '~']);
    let kind = match inner.as_bytes().first() {
        Some(b'#') => Kind::Open,
        Some(b'/') => Kind::Close,
        Some(b'^') if conditional(word) => Kind::ElseIf,
        _ => match inner.strip_prefix("else") {
            Some(more) if more.starts_with(char::is_whitespace) && conditional(more) => Kind::ElseIf,
            _ => Kind::Other,
        },
    };
    Ok(Tag { kind, end })
}

fn comment_end(source: &str, start: usize) -> Result<usize, &'static str> {
    let body = &source[start..];
    if body.starts_with("{{!--")
        && let Some(end) = body.find("--}}")
    {
        return Ok(start + end + 4);
    }
    body.find("}}")
        .map(|end| start + end + 2)
        .ok_or("a comment is never closed")
}

/// Offset just behind the `}}` that closes a tag; strings are stepped over.
fn tag_end(inner: &str) -> Result<usize, &'static str> {
    let bytes = inner.as_bytes();
    let mut quote: Option<u8> = None;
    let mut parens = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(') => parens += 1,
            (None, b')') => parens = parens.saturating_sub(1),
            (None, b'[' | b'{') => {
                return Err(
                    "lists, objects and [..] names cannot be written in a tag; `lookup` reaches odd names",
                );
            }
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Ok(at + 2),
            (_, _) => {}
        }
        if parens > limits::PAREN_DEPTH {
            return Err("parentheses are nested too deep");
        }
        at += 1;
    }
    Err(if quote.is_some() {
        "a string in this tag is never closed"
    } else {
        "this tag is never closed"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(source: &str) -> Vec<String> {
        scan("t", source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn plain_templates_pass() {
        let fine = "Hi {{contact.name}} \\{{{not a tag}} {{!-- {{#if}} --}}{{! x }}{{#if a}}1{{else if b}}2{{else}}3{{/if}}\
                    {{~#if c~}}{{^}}{{/if}}{{plural n one=\"a }} {{#if\" other='b'}}{{> footer}}";
        assert_eq!(reasons(fine), Vec::<String>::new());
    }

    #[test]
    fn unescaped_output_is_refused_with_its_place() {
        assert!(reasons("a\n  {{{x}}}")[0].starts_with("t:2:3: `{{{`"));
        assert!(reasons("{{&x}}")[0].starts_with("t:1:1: `{{{`"));
        assert!(reasons("{{ {x} }}")[0].contains("without escaping"));
        assert!(reasons("{{~{x}~}}")[0].contains("without escaping"));
        assert!(reasons("{{{{raw}}}}{{{{/raw}}}}")[0].contains("without escaping"));
    }

    #[test]
    fn depth_is_counted_with_else_branches() {
        let nested = |n: usize| format!("{}{}", "{{#if a}}".repeat(n), "{{/if}}".repeat(n));
        assert!(reasons(&nested(limits::BLOCK_DEPTH)).is_empty());
        assert!(reasons(&nested(5000))[0].contains("nested deeper"));
        let chain = format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if b}}x".repeat(5000));
        assert!(reasons(&chain)[0].contains("nested deeper"));
        let side_by_side = "{{#if a}}x{{else if b}}y{{/if}}".repeat(100);
        assert!(reasons(&side_by_side).is_empty());
    }

    #[test]
    fn what_hides_depth_from_a_scanner_is_refused() {
        assert!(reasons("{{a.[']}}{{#if x}}{{/if}}")[0].contains("[..]"));
        assert!(reasons("{{#each [1,2,3]}}{{/each}}")[0].contains("[..]"));
        assert!(reasons(&format!("{{{{x {}}}}}", "(".repeat(5000)))[0].contains("too deep"));
        assert!(reasons("{{#*inline \"a\"}}{{/inline}}")[0].contains("inline partials"));
        assert!(reasons("{{#> box}}{{/box}}")[0].contains("takes no block"));
        assert!(reasons("{{#if a")[0].contains("never closed"));
        assert!(reasons("{{x \"a}}")[0].contains("string"));
    }
}
