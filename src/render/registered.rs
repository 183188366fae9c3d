//! Registered texts of a template (`sms.toml`): compiled with its parts, filled for one person.

use std::collections::BTreeMap;

use super::{
    context::RenderContext,
    data::Data,
    links::{self, LinkMaker},
    lint,
    message::{RenderError, one_line},
    registry::{Compiled, Language, Registry, part_key},
    timer::timed,
    walk::{self, Parsed},
};
use crate::config::Problem;
use crate::domain::registered::RegisteredText;

/// The file beside a template's parts.
pub(super) const FILE: &str = "sms.toml";

/// The engine's name for one blank.
fn blank_part(carrier: &str, blank: &str) -> String {
    format!("{FILE}/{carrier}/{blank}")
}

/// Judges and compiles the registered texts of one template in one language.
pub(super) fn compile(
    language: &mut Language,
    (name, tag): (&str, &str),
    texts: &BTreeMap<String, RegisteredText>,
    partials: &BTreeMap<String, Parsed>,
    compiled: &mut Compiled,
    report: &mut dyn FnMut(Problem),
) {
    let file = format!("{name}/{tag}/{FILE}");
    for (carrier, text) in texts {
        if text.template.trim().is_empty() {
            let problem = Problem::of_file(&file, "the id of the registered text is empty");
            report(problem.of_field(format!("{carrier}.template")));
        }
        for (blank, source) in text.variables.each() {
            let field = format!("{carrier}.variables.{blank}");
            let mut tell = |problem: Problem| report(problem.of_field(field.clone()));
            match lint::parse(&file, source) {
                Err(found) => found.into_iter().for_each(&mut tell),
                Ok(parsed) => {
                    let findings = walk::walk(&parsed, partials, false);
                    findings.problems.iter().cloned().for_each(&mut tell);
                    let key = part_key(name, &blank_part(carrier, &blank));
                    language.text.register_template(&key, timed(parsed.template));
                    let uses = compiled.uses.entry("registered").or_default();
                    uses.variables.extend(findings.variables);
                    uses.partials.extend(findings.partials);
                }
            }
        }
        compiled.registered.insert(carrier.clone(), text.clone());
    }
}

/// What a registered text says to one person: its blanks filled from the same facts as the message. `carriers` are the
/// names it may stand under, the first found holds; `None` where the template registers nothing under any of them.
/// `locale` is the language that the message was rendered in.
pub fn fill(
    registry: &Registry,
    (template, locale): (&str, &str),
    carriers: &[&str],
    context: &RenderContext,
    links: &dyn LinkMaker,
) -> Result<Option<RegisteredText>, RenderError> {
    let texts = registry.registered(template, locale);
    let Some((carrier, text)) = carriers
        .iter()
        .find_map(|name| texts.and_then(|texts| texts.get_key_value(*name)))
    else {
        return Ok(None);
    };
    let data = Data::of(context, locale)?;
    let variables = text.variables.filled(|blank| {
        let raw = registry.part(template, locale, &blank_part(carrier, blank), data.context())?;
        let value = one_line(&links::in_text(&raw, links));
        if value.is_empty() {
            // A provider refuses a blank that stays one.
            return Err(RenderError::Empty {
                file: format!("{template}/{locale}/{}", blank_part(carrier, blank)),
            });
        }
        Ok(value)
    })?;
    Ok(Some(RegisteredText {
        variables,
        ..text.clone()
    }))
}
