//! The compiled templates: every rule checked once, then rendered as often as wanted.

use std::collections::{BTreeMap, BTreeSet};

use handlebars::{Handlebars, JsonValue, RenderErrorReason};

use super::{
    context::RenderContext,
    data::Data,
    format,
    limits::{self, Capped},
    lint, locale,
    message::{Medium, RenderError},
    problem::{Problem, nearest},
    source::{PARTS, TemplateSet},
    walk::{self, Findings, Parsed},
};

/// All templates, compiled, by language.
pub struct Registry {
    languages: BTreeMap<String, Language>,
    templates: BTreeMap<String, BTreeMap<String, Compiled>>,
}

/// The two engines of one language, with that language's partials.
struct Language {
    html: Handlebars<'static>,
    text: Handlebars<'static>,
}

/// What is known of one template in one language.
#[derive(Default)]
struct Compiled {
    parts: BTreeSet<&'static str>,
    layout: Option<String>,
    uses: BTreeMap<&'static str, Findings>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("templates", &self.templates.keys())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Checks and compiles everything, or says everything that is wrong, sorted by place.
    pub fn compile(set: &TemplateSet) -> Result<Self, Vec<Problem>> {
        let mut problems = BTreeSet::new();
        let mut registry = Self {
            languages: BTreeMap::new(),
            templates: BTreeMap::new(),
        };
        registry.compile_shared(set, &mut problems);
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
    fn compile_shared(&mut self, set: &TemplateSet, problems: &mut BTreeSet<Problem>) {
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
                    &layout_file(name),
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
            language.html.register_template(name, parsed.template.clone());
            language.text.register_template(name, parsed.template.clone());
        }
        let mut layouts = BTreeMap::new();
        for (name, source) in &set.shared.layouts {
            if let Ok(parsed) = lint::parse(&layout_file(name), source) {
                let findings = walk::walk(&parsed, &partials, true);
                problems.extend(findings.problems.iter().cloned());
                language
                    .html
                    .register_template(&layout_key(name), parsed.template);
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
                engine.register_template(&part_key(name, part), parsed.template);
                compiled.parts.insert(part);
                compiled.uses.insert(part, findings);
            }
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
                for known in [true, false] {
                    let mut context = if known {
                        RenderContext::sample()
                    } else {
                        RenderContext::default()
                    };
                    for path in compiled
                        .uses
                        .values()
                        .flat_map(|findings| findings.variables.keys())
                    {
                        if let Some(rest) = path.strip_prefix("contact.attr.") {
                            let head = rest.split('.').next().unwrap_or(rest);
                            // Only a plain attribute can be tried: the shape of a list or group is the company's own.
                            let value = if rest == head { "1".into() } else { JsonValue::Null };
                            context.contact.attr.entry(head).or_insert(value);
                        }
                    }
                    if compiled
                        .uses
                        .values()
                        .any(|findings| findings.variables.keys().any(|path| nested(path)))
                    {
                        continue;
                    }
                    let Ok(data) = Data::of(&context, tag) else {
                        continue;
                    };
                    for part in &compiled.parts {
                        if let Err(RenderError::Failed {
                            file,
                            line,
                            column,
                            reason,
                        }) = self.part(name, tag, part, data.value())
                        {
                            problems.insert(Problem::at(&file, (line, column), reason));
                        }
                    }
                }
            }
        }
    }

    /// Names of all templates, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    /// Whether there is such a template.
    pub fn has(&self, template: &str) -> bool {
        self.templates.contains_key(template)
    }

    /// The template name probably meant.
    pub fn suggest(&self, written: &str) -> Option<String> {
        nearest(written, self.names())
    }

    /// The languages of a template, in order.
    pub fn locales(&self, template: &str) -> impl Iterator<Item = &str> + Clone {
        self.templates
            .get(template)
            .into_iter()
            .flat_map(|tags| tags.keys().map(String::as_str))
    }

    /// What a template can be sent as in its language `locale`.
    pub fn media(&self, template: &str, locale: &str) -> Vec<Medium> {
        let compiled = self.compiled(template, locale);
        Medium::ALL
            .into_iter()
            .filter(|medium| compiled.is_some_and(|one| one.carries(*medium)))
            .collect()
    }

    /// Every variable a template uses in any of its languages and parts, its layout's included, sorted.
    pub fn variables(&self, template: &str) -> BTreeSet<&str> {
        let tags = self
            .templates
            .get(template)
            .into_iter()
            .flat_map(BTreeMap::values);
        tags.flat_map(|one| one.uses.values())
            .flat_map(|findings| findings.variables.keys().map(String::as_str))
            .collect()
    }

    /// What stands against using a template for `medium`: no such template or part, no content in the default
    /// language, or, when `opt_out` is wanted (marketing and care), no way out of further messages in some language:
    /// a mail has to use `links.unsubscribe`, a text message that or the partial `sms-opt-out`.
    pub fn check_use(
        &self,
        template: &str,
        medium: Medium,
        default_locale: &str,
        opt_out: bool,
    ) -> Vec<Problem> {
        let Some(tags) = self.templates.get(template) else {
            return vec![
                Problem::of_file(template, format!("there is no template `{template}`"))
                    .suggest(template, self.names()),
            ];
        };
        let mut problems = Vec::new();
        if locale::nearest(default_locale, tags.keys().map(String::as_str)).is_none() {
            let reason = format!("has no content in the default language {default_locale}");
            problems.push(Problem::of_file(template, reason));
        }
        for (tag, compiled) in tags {
            let place = format!("{template}/{tag}");
            if !compiled.carries(medium) {
                problems.push(Problem::of_file(
                    &place,
                    format!("has nothing to send as {medium}"),
                ));
            } else if opt_out {
                problems.extend(compiled.without_way_out(medium).map(|part| {
                    Problem::of_file(
                        &format!("{place}/{part}.hbs"),
                        "marketing and care need a way out: neither part nor layout uses `links.unsubscribe`",
                    )
                }));
            }
        }
        problems
    }

    fn compiled(&self, template: &str, locale: &str) -> Option<&Compiled> {
        self.templates.get(template)?.get(locale)
    }

    /// Whether there is such a part in this language.
    pub(super) fn has_part(&self, template: &str, locale: &str, part: &str) -> bool {
        self.compiled(template, locale)
            .is_some_and(|one| one.parts.contains(part))
    }

    /// The layout an HTML part goes into.
    pub(super) fn layout(&self, template: &str, locale: &str) -> Option<&str> {
        self.compiled(template, locale)?.layout.as_deref()
    }

    /// Renders one part.
    pub(super) fn part(
        &self,
        template: &str,
        locale: &str,
        part: &str,
        data: &JsonValue,
    ) -> Result<String, RenderError> {
        let (html, limit) = match part {
            "html" => (true, limits::HTML_BYTES),
            "subject" => (false, limits::SUBJECT_BYTES),
            "sms" => (false, limits::SMS_BYTES),
            _ => (false, limits::TEXT_BYTES),
        };
        let file = format!("{template}/{locale}/{part}.hbs");
        self.run(locale, html, &part_key(template, part), &file, limit, data)
    }

    /// Renders a layout around what its data holds as the body.
    pub(super) fn around(&self, layout: &str, locale: &str, data: &JsonValue) -> Result<String, RenderError> {
        self.run(
            locale,
            true,
            &layout_key(layout),
            &layout_file(layout),
            limits::HTML_BYTES,
            data,
        )
    }

    fn run(
        &self,
        locale: &str,
        html: bool,
        key: &str,
        file: &str,
        limit: usize,
        data: &JsonValue,
    ) -> Result<String, RenderError> {
        let failed = |reason: &str| RenderError::Failed {
            file: file.to_owned(),
            line: 1,
            column: 1,
            reason: reason.to_owned(),
        };
        let language = self
            .languages
            .get(locale)
            .ok_or_else(|| failed("no such language"))?;
        let engine = if html { &language.html } else { &language.text };
        let mut out = Capped::new(limit);
        engine.render_to_write(key, data, &mut out).map_err(|error| {
            let place = (error.line_no.unwrap_or(1), error.column_no.unwrap_or(1));
            let file = error.template_name.as_deref().unwrap_or(file).to_owned();
            match error.reason() {
                RenderErrorReason::IOError(io) if Capped::is_full(io) => RenderError::TooBig { file, limit },
                RenderErrorReason::MissingVariable(name) => RenderError::Missing {
                    variable: name.clone().unwrap_or_else(|| "a value".to_owned()),
                    file,
                    line: place.0,
                    column: place.1,
                },
                reason => RenderError::Failed {
                    file,
                    line: place.0,
                    column: place.1,
                    reason: reason.to_string(),
                },
            }
        })?;
        out.into_string().map_err(|error| failed(&error.to_string()))
    }
}

impl Compiled {
    fn carries(&self, medium: Medium) -> bool {
        match medium {
            Medium::Email => self.parts.contains("html") || self.parts.contains("text"),
            Medium::Sms => self.parts.contains("sms"),
            Medium::Task => self.parts.contains("task"),
        }
    }

    /// The parts sent as `medium` that offer no way out of further messages.
    fn without_way_out(&self, medium: Medium) -> impl Iterator<Item = &'static str> {
        let sent: &[&'static str] = match medium {
            Medium::Email => &["html", "text"],
            Medium::Sms => &["sms"],
            Medium::Task => &[],
        };
        sent.iter().copied().filter(|part| {
            self.uses.get(part).is_some_and(|findings| {
                !findings.variables.contains_key("links.unsubscribe")
                    && !findings.partials.contains("sms-opt-out")
            })
        })
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
                .suggest(wanted, layouts.keys().map(String::as_str));
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

fn nested(path: &str) -> bool {
    path.strip_prefix("contact.attr.")
        .is_some_and(|rest| rest.contains('.'))
        || path == "contact.attr"
}

fn part_key(template: &str, part: &str) -> String {
    format!("{template}/{part}.hbs")
}

fn layout_key(name: &str) -> String {
    format!("_layouts/{name}")
}

fn layout_file(name: &str) -> String {
    format!("_layouts/{name}.hbs")
}

fn partial_file(name: &str) -> String {
    format!("_partials/{name}.hbs")
}
