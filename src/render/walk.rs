//! A walk over a parsed part with its partials put in: which variables it uses, and what it says that nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use handlebars::template::{
    BlockParam, DecoratorTemplate, HelperTemplate, Parameter, Subexpression, Template, TemplateElement,
};
use serde_json::Value;

use super::{
    format::{BLOCKS, INLINE, PLURAL},
    limits,
    scope::{self, Known, Meaning, Scope},
};
use crate::config::Problem;

/// A parsed file.
pub struct Parsed {
    /// Its path.
    pub file: String,
    /// What it says.
    pub template: Template,
}

/// The findings of one walk.
#[derive(Debug, Default)]
pub struct Findings {
    /// Every variable used, with the first place: file, line, column.
    pub variables: BTreeMap<String, (String, usize, usize)>,
    /// Every partial used.
    pub partials: BTreeSet<String>,
    /// Everything wrong.
    pub problems: BTreeSet<Problem>,
}

/// Walks one part. `partials` are those of its language.
pub fn walk(parsed: &Parsed, partials: &BTreeMap<String, Parsed>, layout: bool) -> Findings {
    let mut walker = Walker {
        partials,
        layout,
        file: &parsed.file,
        place: (1, 1),
        scopes: vec![Scope::default()],
        inside: Vec::new(),
        depth: 0,
        loops: 0,
        elements: 0,
        findings: Findings::default(),
    };
    walker.template(&parsed.template);
    walker.findings
}

struct Walker<'a> {
    partials: &'a BTreeMap<String, Parsed>,
    layout: bool,
    file: &'a str,
    place: (usize, usize),
    scopes: Vec<Scope>,
    inside: Vec<&'a str>,
    depth: usize,
    loops: usize,
    elements: usize,
    findings: Findings,
}

/// How a name is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Value,
    Group,
    List,
}

impl<'a> Walker<'a> {
    fn template(&mut self, template: &'a Template) {
        for (at, element) in template.elements.iter().enumerate() {
            self.elements += 1;
            if self.elements > limits::ELEMENTS {
                self.complain(format!(
                    "more than {} elements with its partials put in",
                    limits::ELEMENTS
                ));
                return;
            }
            if let Some(mapping) = template.mapping.get(at) {
                self.place = (mapping.0, mapping.1);
            }
            match element {
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
                TemplateElement::Expression(helper) => self.expression(helper),
                TemplateElement::HelperBlock(helper) => self.block(helper),
                TemplateElement::PartialExpression(partial) => self.partial(partial),
                _ => self.complain("this kind of tag is not allowed".to_owned()),
            }
        }
    }

    fn expression(&mut self, helper: &'a HelperTemplate) {
        let Some(name) = helper.name.as_name() else {
            if let Parameter::Subexpression(inner) = &helper.name {
                self.subexpression(inner);
            }
            return;
        };
        if helper.params.is_empty() && helper.hash.is_empty() && name != "body" {
            self.variable(name, Use::Value);
        } else {
            self.call(name, &helper.params, helper.hash.values());
        }
    }

    fn subexpression(&mut self, inner: &'a Subexpression) {
        let name = inner.name();
        if matches!(name, "link" | "body") {
            self.complain(format!("`{name}` cannot stand in parentheses"));
        } else if !inner.is_helper() {
            self.variable(name, Use::Value);
            return;
        }
        let hash = inner.hash().into_iter().flat_map(|hash| hash.values());
        self.call(name, inner.params().map_or(&[], Vec::as_slice), hash);
    }

    fn call(&mut self, name: &'a str, params: &'a [Parameter], hash: impl Iterator<Item = &'a Parameter>) {
        if !INLINE.contains(&name) && name != PLURAL {
            let problem = Problem::at(self.file, self.place, format!("unknown helper `{name}`"))
                .suggest_near(name, INLINE.into_iter().chain([PLURAL]));
            self.findings.problems.insert(problem);
        }
        if name == "body" && !self.layout {
            self.complain("`body` stands only in a layout".to_owned());
        }
        if name == "lookup"
            && let [Parameter::Path(_), Parameter::Literal(Value::String(key))] = params
        {
            // A fixed key is a variable like any other.
            let base = params[0].as_name().unwrap_or_default();
            self.variable(&format!("{base}.{key}"), Use::Value);
            return;
        }
        for param in params.iter().chain(hash) {
            self.parameter(param, if name == "lookup" { Use::Group } else { Use::Value });
        }
    }

    fn parameter(&mut self, param: &'a Parameter, how: Use) {
        match param {
            Parameter::Path(_) | Parameter::Name(_) => {
                if let Some(name) = param.as_name() {
                    self.variable(name, how);
                }
            }
            Parameter::Subexpression(inner) => self.subexpression(inner),
            _ => {}
        }
    }

    fn block(&mut self, helper: &'a HelperTemplate) {
        let name = helper.name.as_name().unwrap_or_default();
        if !BLOCKS.contains(&name) {
            let problem = Problem::at(self.file, self.place, format!("unknown block `{name}`"))
                .suggest_near(name, BLOCKS);
            self.findings.problems.insert(problem);
        }
        let how = match name {
            "each" => Use::List,
            "with" => Use::Group,
            _ => Use::Value,
        };
        let place = self.place;
        for param in helper.params.iter().chain(helper.hash.values()) {
            self.parameter(param, how);
        }
        if helper.params.is_empty() {
            self.complain(format!("`{name}` needs a value"));
        }
        self.depth += 1;
        if self.depth > limits::BLOCK_DEPTH {
            self.complain(format!(
                "blocks and partials are nested deeper than {}",
                limits::BLOCK_DEPTH
            ));
        } else {
            let inner = self.inner_scope(name, helper);
            let scoped = inner.is_some();
            self.scopes.extend(inner);
            if name == "each" {
                self.loops += 1;
                if self.loops > limits::LOOP_DEPTH {
                    self.complain(format!("loops are nested deeper than {}", limits::LOOP_DEPTH));
                }
            }
            if let Some(template) = &helper.template {
                self.template(template);
            }
            if name == "each" {
                self.loops -= 1;
            }
            if scoped {
                self.scopes.pop();
            }
            if let Some(inverse) = &helper.inverse {
                self.template(inverse);
            }
        }
        self.depth -= 1;
        self.place = place;
    }

    fn inner_scope(&self, name: &str, helper: &HelperTemplate) -> Option<Scope> {
        if !matches!(name, "each" | "with") {
            return None;
        }
        let target = helper.params.first().and_then(subject).unwrap_or_default();
        let base = match scope::meaning(target, &self.scopes) {
            Meaning::Path(path) if name == "each" => scope::join(&path, "item"),
            Meaning::Path(path) => path,
            Meaning::Local | Meaning::Bad(_) => String::new(),
        };
        let given = |param: &Parameter| param.as_name().unwrap_or_default().to_owned();
        let names = match &helper.block_param {
            Some(BlockParam::Single(one)) => vec![(given(one), Some(base.clone()))],
            Some(BlockParam::Pair((one, key))) => {
                vec![(given(one), Some(base.clone())), (given(key), None)]
            }
            _ => Vec::new(),
        };
        Some(Scope {
            base,
            names,
            looping: name == "each",
        })
    }

    fn partial(&mut self, partial: &'a DecoratorTemplate) {
        let Some(name) = partial
            .name
            .as_name()
            .filter(|_| !matches!(partial.name, Parameter::Subexpression(_)))
        else {
            self.complain("a partial is named by a plain word".to_owned());
            return;
        };
        if !partial.params.is_empty() || !partial.hash.is_empty() {
            self.complain(format!(
                "the partial `{name}` takes no values; it sees what its template sees"
            ));
        }
        let partials = self.partials;
        let Some((name, parsed)) = partials.get_key_value(name) else {
            let problem = Problem::at(self.file, self.place, format!("unknown partial `{name}`"))
                .suggest_near(name, partials.keys().map(String::as_str));
            self.findings.problems.insert(problem);
            return;
        };
        if self.inside.contains(&name.as_str()) {
            self.complain(format!("the partial `{name}` contains itself"));
            return;
        }
        self.findings.partials.insert(name.clone());
        self.depth += 1;
        if self.inside.len() >= limits::PARTIAL_DEPTH || self.depth > limits::BLOCK_DEPTH {
            self.complain("partials are nested too deep".to_owned());
        } else {
            let (file, place) = (self.file, self.place);
            self.file = &parsed.file;
            self.inside.push(name);
            // A partial stands on the current value: inside it, that is where names and `../` end.
            let base = self.scopes.last().cloned().unwrap_or_default();
            let outer = std::mem::replace(
                &mut self.scopes,
                vec![Scope {
                    names: Vec::new(),
                    ..base
                }],
            );
            self.template(&parsed.template);
            self.scopes = outer;
            self.inside.pop();
            (self.file, self.place) = (file, place);
        }
        self.depth -= 1;
    }

    fn variable(&mut self, name: &str, how: Use) {
        let path = match scope::meaning(name, &self.scopes) {
            Meaning::Local => return,
            Meaning::Bad(reason) => return self.complain(reason.to_owned()),
            Meaning::Path(path) => path,
        };
        match (scope::known(&path, self.layout), how) {
            (Known::Nothing, _) => {
                let problem = Problem::at(self.file, self.place, format!("unknown variable `{path}`"))
                    .suggest_near(&path, scope::names(self.layout));
                self.findings.problems.insert(problem);
            }
            (Known::Group, Use::Value) => {
                self.complain(format!("`{path}` is a group of variables, not a value"));
            }
            (Known::Group | Known::Value, Use::List) => self.complain(format!("`{path}` is not a list")),
            (Known::Value, Use::Group) => {
                self.complain(format!("`{path}` is a value, not a group of variables"));
            }
            _ => {
                let place = (self.file.to_owned(), self.place.0, self.place.1);
                self.findings.variables.entry(path).or_insert(place);
            }
        }
    }

    fn complain(&mut self, reason: String) {
        self.findings
            .problems
            .insert(Problem::at(self.file, self.place, reason));
    }
}

/// The name a block is about: the parameter itself, or what a helper in parentheses is first given.
fn subject(param: &Parameter) -> Option<&str> {
    match param {
        Parameter::Subexpression(inner) => inner.params()?.first().and_then(subject),
        other => other.as_name(),
    }
}
