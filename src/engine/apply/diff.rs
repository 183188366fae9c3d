//! What an apply changes: which documents, where in them, and how many people that touches.

use std::fmt;

use serde_json::Value;

use crate::domain::document::DocumentKind;

/// Everything that differs from what is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// The documents that differ, by kind and name.
    pub changes: Vec<Change>,
    /// How many do not.
    pub same: usize,
}

/// One document that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its name.
    pub name: String,
    /// What happens to it.
    pub how: How,
    /// Whom it touches: a number and of what.
    pub touches: Vec<(u64, &'static str)>,
    /// Where it differs, one line each.
    pub lines: Vec<String>,
}

/// What happens to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Was not in force.
    Added,
    /// Gets a new version.
    Changed,
    /// Goes out of force.
    Retired,
}

impl fmt::Display for Diff {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(out, "no change ({} documents)", self.same);
        }
        for change in &self.changes {
            let sign = match change.how {
                How::Added => '+',
                How::Changed => '~',
                How::Retired => '-',
            };
            write!(out, "{sign} {} {}", change.kind, change.name)?;
            let touches: Vec<String> = change
                .touches
                .iter()
                .map(|(count, of)| format!("{count} {of}"))
                .collect();
            writeln!(
                out,
                "{}{}",
                if touches.is_empty() { "" } else { ": " },
                touches.join(", ")
            )?;
            for line in &change.lines {
                writeln!(out, "    {line}")?;
            }
        }
        let count = |how| self.changes.iter().filter(|change| change.how == how).count();
        let (added, changed, retired) = (count(How::Added), count(How::Changed), count(How::Retired));
        writeln!(
            out,
            "{added} added, {changed} changed, {retired} retired, {} unchanged",
            self.same
        )
    }
}

/// Lines shown of one document.
const MOST_LINES: usize = 20;

/// Where two bodies differ, one line each.
pub(super) fn lines(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", before, after, &mut lines);
    if lines.len() > MOST_LINES {
        let more = lines.len() - MOST_LINES;
        lines.truncate(MOST_LINES);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn compare(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    let below = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match (before, after) {
        _ if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                compare(&below(key), value, new.get(key).unwrap_or(&Value::Null), lines);
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                compare(&below(key), &Value::Null, value, lines);
            }
        }
        (Value::Array(old), Value::Array(new)) if named(old) && named(new) => {
            for member in old {
                let other = new.iter().find(|other| name(other) == name(member));
                compare(
                    &below(name(member).unwrap_or("")),
                    member,
                    other.unwrap_or(&Value::Null),
                    lines,
                );
            }
            for member in new
                .iter()
                .filter(|member| old.iter().all(|other| name(other) != name(member)))
            {
                compare(&below(name(member).unwrap_or("")), &Value::Null, member, lines);
            }
            let order = |list: &[Value]| {
                list.iter()
                    .filter_map(name)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let (old, new) = (order(old), order(new));
            if old != new && old.len() == new.len() && old.iter().all(|name| new.contains(name)) {
                lines.push(format!("{path}: now in the order {}", new.join(", ")));
            }
        }
        _ => lines.push(format!("{path}: {} -> {}", short(before), short(after))),
    }
}

/// Whether all members of a list have a name of their own: steps, rules, festivals.
fn named(list: &[Value]) -> bool {
    list.iter().all(|member| name(member).is_some())
}

fn name(member: &Value) -> Option<&str> {
    member
        .get("key")
        .or_else(|| member.get("name"))
        .and_then(Value::as_str)
}

/// A value in few letters; a text of many lines by their number.
fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.lines().count() > 1 => format!("text of {} lines", text.lines().count()),
        Value::Object(members) if members.contains_key("key") || members.contains_key("name") => {
            "there".to_owned()
        }
        other => {
            let text = other.to_string();
            if text.chars().count() <= 60 {
                text
            } else {
                text.chars().take(57).chain("...".chars()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_shown_where_it_is() {
        let before = json!({"title": "t", "steps": [{"key": "a", "wait": "1d"}, {"key": "b", "wait": "2d"}]});
        let after = json!({"title": "t", "steps": [{"key": "b", "wait": "3d"}, {"key": "c", "wait": "1d"}]});
        assert_eq!(
            lines(&before, &after),
            [
                "steps.a: there -> none",
                "steps.b.wait: \"2d\" -> \"3d\"",
                "steps.c: none -> there"
            ]
        );
        let turned = json!({"title": "t", "steps": [{"key": "b", "wait": "2d"}, {"key": "a", "wait": "1d"}]});
        assert_eq!(lines(&before, &turned), ["steps: now in the order b, a"]);
        assert_eq!(
            lines(&json!({"x": "a\nb"}), &json!({"x": "a\nb\nc"})),
            ["x: text of 2 lines -> text of 3 lines"]
        );
        assert!(lines(&before, &before).is_empty());
    }

    #[test]
    fn many_lines_are_counted() {
        let old: serde_json::Map<String, Value> = (0..50).map(|n| (format!("k{n:02}"), json!(n))).collect();
        let new: serde_json::Map<String, Value> =
            (0..50).map(|n| (format!("k{n:02}"), json!(n + 1))).collect();
        let shown = lines(&Value::Object(old), &Value::Object(new));
        assert_eq!((shown.len(), shown[20].as_str()), (21, "and 30 more"));
    }
}
