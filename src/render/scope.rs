//! What a name in a template means where it stands: `with` and `each` move the base, `as |x|` gives names.

use super::context::{LAYOUT_VARIABLES, OPEN, VARIABLES};

/// One step of scope. The outermost has an empty base.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Path that plain names start from; empty is the root.
    pub base: String,
    /// Names given by `as |x|`, with the path each stands for; none for an index or key.
    pub names: Vec<(String, Option<String>)>,
    /// Whether `@index` and its kin exist here.
    pub looping: bool,
}

/// What a written name turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// `@index`, `@key`, `@first`, `@last`, or a name given to an index.
    Local,
    /// A path from the root.
    Path(String),
    /// Not a name of the language; why.
    Bad(&'static str),
}

/// What stands at a path from the root.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// A value.
    Value,
    /// A group of variables.
    Group,
    /// Something below the open node: a value, list or group of the company's own.
    Open,
    /// Nothing.
    Nothing,
}

/// Reads a written name in its scopes, innermost last.
pub fn meaning(raw: &str, scopes: &[Scope]) -> Meaning {
    if let Some(rest) = raw.strip_prefix("@root.").or_else(|| raw.strip_prefix("@root/")) {
        return Meaning::Path(rest.replace('/', "."));
    }
    if let Some(local) = raw.strip_prefix('@') {
        let looping = scopes.iter().any(|scope| scope.looping);
        return match local {
            "index" | "key" | "first" | "last" if looping => Meaning::Local,
            _ => Meaning::Bad("`@` names stand only in a loop: @index, @key, @first, @last"),
        };
    }
    let mut up = 0;
    let mut rest = raw;
    while let Some(more) = rest.strip_prefix("../").or_else(|| rest.strip_prefix("...")) {
        up += 1;
        rest = more;
    }
    let Some(level) = scopes.len().checked_sub(up + 1) else {
        return Meaning::Bad("`../` leads out of the template");
    };
    let rest = rest.strip_prefix("./").unwrap_or(rest).replace('/', ".");
    let (rest, this) = match rest.strip_prefix("this.") {
        Some(more) => (more.to_owned(), true),
        None if rest == "this" => (String::new(), true),
        None => (rest, false),
    };
    let (head, tail) = match rest.split_once('.') {
        Some((head, tail)) => (head, Some(tail)),
        None => (rest.as_str(), None),
    };
    if !this && up == 0 {
        let given = scopes
            .iter()
            .rev()
            .flat_map(|scope| &scope.names)
            .find(|(name, _)| name == head);
        match given {
            Some((_, Some(path))) => {
                return Meaning::Path(tail.map_or_else(|| path.clone(), |tail| join(path, tail)));
            }
            Some((_, None)) => return Meaning::Local,
            None => {}
        }
    }
    Meaning::Path(join(&scopes[level].base, &rest))
}

/// Joins a base and what is below it.
pub fn join(base: &str, rest: &str) -> String {
    match (base, rest) {
        ("", rest) => rest.to_owned(),
        (base, "") => base.to_owned(),
        (base, rest) => format!("{base}.{rest}"),
    }
}

/// What stands at `path`; a layout knows a little more.
pub fn known(path: &str, layout: bool) -> Known {
    let below = |name: &str, path: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    if path == OPEN || below(path, OPEN) {
        Known::Open
    } else if names(layout).any(|name| name == path) {
        Known::Value
    } else if path.is_empty() || names(layout).any(|name| below(name, path)) {
        Known::Group
    } else {
        Known::Nothing
    }
}

/// Every name that may be written.
pub fn names(layout: bool) -> impl Iterator<Item = &'static str> {
    let more = if layout { LAYOUT_VARIABLES } else { &[] };
    VARIABLES.iter().chain(more).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Meaning {
        Meaning::Path(text.to_owned())
    }

    #[test]
    fn names_are_read_in_their_scope() {
        let root = Scope::default();
        let lead = Scope {
            base: "lead".into(),
            ..Scope::default()
        };
        let each = Scope {
            base: "contact.attr.x.item".into(),
            names: vec![
                ("it".into(), Some("contact.attr.x.item".into())),
                ("i".into(), None),
            ],
            looping: true,
        };
        let scopes = [root, lead, each];
        assert_eq!(meaning("contact.name", &scopes[..1]), path("contact.name"));
        assert_eq!(meaning("product", &scopes[..2]), path("lead.product"));
        assert_eq!(meaning("../contact/name", &scopes[..2]), path("contact.name"));
        assert_eq!(meaning("this", &scopes), path("contact.attr.x.item"));
        assert_eq!(meaning("it.name", &scopes), path("contact.attr.x.item.name"));
        assert_eq!(meaning("i", &scopes), Meaning::Local);
        assert_eq!(meaning("@index", &scopes), Meaning::Local);
        assert_eq!(meaning("@root.now", &scopes), path("now"));
        assert!(matches!(meaning("@index", &scopes[..1]), Meaning::Bad(_)));
        assert!(matches!(meaning("../x", &scopes[..1]), Meaning::Bad(_)));
    }

    #[test]
    fn what_stands_at_a_path() {
        assert_eq!(known("contact.name", false), Known::Value);
        assert_eq!(known("contact", false), Known::Group);
        assert_eq!(known("contact.attr.anything.at.all", false), Known::Open);
        assert_eq!(known("contact.attribute", false), Known::Nothing);
        assert_eq!(known("subject", false), Known::Nothing);
        assert_eq!(known("subject", true), Known::Value);
    }
}
