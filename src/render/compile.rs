//! From what an author wrote to a registry: every file judged, parsed, walked and tried once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    context::RenderContext,
    data::Data,
    format, lint,
    message::RenderError,
    mould::Moulds,
    registered,
    registry::{Compiled, Language, Registry, layout_file, layout_key, part_key},
    source::{PARTS, TemplateSet},
    timer::timed,
    walk::{self, Findings, Parsed},
};
use crate::config::Problem;
use crate::domain::locale;

impl Registry {
    /// Checks and compiles everything, or says everything that is wrong, sorted by place.
    pub fn compile(set: &TemplateSet) -> Result<Self, Vec<Problem>> {
        let mut problems = BTreeSet::new();
        let mut registry = Self {
            languages: BTreeMap::new(),
            templates: BTreeMap::new(),
            moulds: Moulds::default(),
        };
        Self::check_shared(set, &mut problems);
        let tags: BTreeSet<&String> = set
            .templates
            .values()
            .flat_map(|one| one.locales.keys())
            .collect();
        for tag in tags {
            if locale::is_tag(tag) {
                registry.compile_language(set, tag, &mut problems);
            } else {
                problems.insert(Problem::of_file(
                    tag,
                    format!("`{tag}` is not a language tag such as en or zh-Hans"),
                ));
            }
        }
        if problems.is_empty() {
            registry.try_all(&mut problems);
        }
        if problems.is_empty() {
            Ok(registry)
        } else {
            Err(problems.into_iter().collect())
        }
    }

    /// Layouts and partials are judged even where nothing uses them.
    fn check_shared(set: &TemplateSet, problems: &mut BTreeSet<Problem>) {
        let layouts = set
            .shared
            .layouts
            .iter()
            .map(|(name, source)| (layout_file(name), source));
        let partials = set
            .shared
            .partials
            .iter()
            .map(|(name, source)| (partial_file(name), source));
        for (file, source) in layouts.chain(partials) {
            problems.extend(lint::parse(&file, source).err().unwrap_or_default());
            problems.extend(lint::kind(&file, "html", source));
        }
        for (name, source) in &set.shared.layouts {
            if !source.contains("{{body}}") {
                problems.insert(Problem::of_file(
                    layout_file(name),
                    "a layout needs `{{body}}` where the part goes",
                ));
            }
        }
    }

    fn compile_language(&mut self, set: &TemplateSet, tag: &str, problems: &mut BTreeSet<Problem>) {
        let mut language = Language {
            html: format::engine(true),
            text: format::engine(false),
        };
        let partials = partials_for(set, tag);
        for (name, parsed) in &partials {
            let template = timed(parsed.template.clone());
            language.html.register_template(name, template.clone());
            language.text.register_template(name, template);
        }
        let mut layouts = BTreeMap::new();
        for (name, source) in &set.shared.layouts {
            if let Ok(parsed) = lint::parse(&layout_file(name), source) {
                let findings = walk::walk(&parsed, &partials, true);
                problems.extend(findings.problems.iter().cloned());
                language
                    .html
                    .register_template(&layout_key(name), timed(parsed.template));
                layouts.insert(name.clone(), findings);
            }
        }
        for (name, template) in &set.templates {
            let Some(parts) = template.locales.get(tag) else {
                continue;
            };
            let mut compiled = Compiled::default();
            for part in PARTS {
                let Some(source) = parts.get(part) else { continue };
                let file = format!("{name}/{tag}/{part}.hbs");
                problems.extend(lint::kind(&file, part, source));
                let parsed = match lint::parse(&file, source) {
                    Ok(parsed) => parsed,
                    Err(found) => {
                        problems.extend(found);
                        continue;
                    }
                };
                let mut findings = walk::walk(&parsed, &partials, false);
                if part == "html" {
                    compiled.layout = place_in_layout(source, &file, &layouts, &mut findings);
                }
                problems.extend(findings.problems.iter().cloned());
                let engine = if part == "html" {
                    &mut language.html
                } else {
                    &mut language.text
                };
                engine.register_template(&part_key(name, part), timed(parsed.template));
                compiled.parts.insert(part);
                compiled.uses.insert(part, findings);
            }
            registered::compile(
                &mut language,
                (name, tag),
                &parts.registered,
                &partials,
                &mut compiled,
                &mut |problem| {
                    problems.insert(problem);
                },
            );
            let mail = compiled.parts.contains("html") || compiled.parts.contains("text");
            if mail != compiled.parts.contains("subject") {
                let missing = if mail {
                    "no subject.hbs beside the body"
                } else {
                    "no html.hbs or text.hbs beside it"
                };
                let file = if mail {
                    format!("{name}/{tag}")
                } else {
                    format!("{name}/{tag}/subject.hbs")
                };
                problems.insert(Problem::of_file(&file, missing));
            }
            self.templates
                .entry(name.clone())
                .or_default()
                .insert(tag.to_owned(), compiled);
        }
        self.languages.insert(tag.to_owned(), language);
    }

    /// Renders everything once with every fact known and once with none: what only a rendering can tell.
    fn try_all(&self, problems: &mut BTreeSet<Problem>) {
        for (name, tags) in &self.templates {
            for (tag, compiled) in tags {
                for mut context in [RenderContext::sample(), RenderContext::default()] {
                    // What an attribute holds is the company's own affair: it is there, and empty.
                    context.contact.attr = compiled.attributes().map(|name| (name, Value::Null)).collect();
                    let failures = Data::of(&context, tag).map_err(RenderError::from).map_or_else(
                        |error| vec![error],
                        |mut data| self.try_parts(name, tag, &mut data),
                    );
                    for failure in failures {
                        if let RenderError::Failed {
                            file,
                            line,
                            column,
                            reason,
                        } = failure
                        {
                            problems.insert(Problem::at(&file, (line, column), reason));
                        }
                    }
                }
            }
        }
    }

    fn try_parts(&self, name: &str, tag: &str, data: &mut Data) -> Vec<RenderError> {
        let parts = PARTS.into_iter().filter(|part| self.has_part(name, tag, part));
        let mut failures: Vec<RenderError> = parts
            .filter_map(|part| self.part(name, tag, part, data.context()).err())
            .collect();
        if let Some(layout) = self.layout(name, tag) {
            failures.extend(
                data.in_layout("subject", "body", |data| self.around(layout, tag, data))
                    .err(),
            );
        }
        failures
    }
}

/// Finds the layout of an HTML part and counts the layout's variables among the part's.
fn place_in_layout(
    source: &str,
    file: &str,
    layouts: &BTreeMap<String, Findings>,
    findings: &mut Findings,
) -> Option<String> {
    let wanted = lint::layout(source);
    match layouts.get(wanted) {
        Some(layout) => {
            for (path, place) in &layout.variables {
                findings
                    .variables
                    .entry(path.clone())
                    .or_insert_with(|| place.clone());
            }
            findings.partials.extend(layout.partials.iter().cloned());
            Some(wanted.to_owned())
        }
        None if wanted == "none" => None,
        None => {
            let problem = Problem::of_file(file, format!("unknown layout `{wanted}`"))
                .suggest_near(wanted, layouts.keys().map(String::as_str));
            findings.problems.insert(problem);
            None
        }
    }
}

/// The partials as one language sees them: its own, else the one for all.
fn partials_for(set: &TemplateSet, tag: &str) -> BTreeMap<String, Parsed> {
    let mut own: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for key in set.shared.partials.keys() {
        match key.split_once('/') {
            Some((of, name)) => own.entry(name).or_default().push(of),
            None => {
                own.entry(key).or_default();
            }
        }
    }
    let mut partials = BTreeMap::new();
    for (name, of) in own {
        let key = locale::nearest(tag, of).map_or_else(|| name.to_owned(), |of| format!("{of}/{name}"));
        let Some(source) = set.shared.partials.get(&key) else {
            continue;
        };
        if let Ok(parsed) = lint::parse(&partial_file(&key), source) {
            partials.insert(name.to_owned(), parsed);
        }
    }
    partials
}

fn partial_file(name: &str) -> String {
    format!("_partials/{name}.hbs")
}
