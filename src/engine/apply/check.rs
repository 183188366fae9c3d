//! Everything that can be wrong with the files, each fault with its place.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::files::{self, ConfigFile};
use super::{Checked, Document, registered};
use crate::config::calendar::Calendar;
use crate::config::problem::nearest;
use crate::config::source::Source;
use crate::config::{Problem, Settings};
use crate::domain::cadence::{Cadence, ChannelKind};
use crate::domain::document::DocumentKind;
use crate::domain::fault::Fault;
use crate::domain::grading::{self, GradingError, GradingRules};
use crate::domain::retention::{self, RetentionError, RetentionRules};
use crate::domain::tier::Tier;
use crate::render::{Registry, TemplateSet};

/// Reads and checks a configuration directory and a template directory. Every fault that can be found is told.
pub fn check(config: &Path, templates: &Path) -> Result<Checked, Vec<Problem>> {
    let mut problems = Vec::new();
    if !config.is_dir() {
        return Err(vec![Problem::of_file(
            config.display().to_string(),
            "there is no such directory",
        )]);
    }
    files::strangers(config, &mut problems);
    let settings = Settings::load_placed(Some(config))
        .map_err(|error| problems.extend(error.0))
        .ok();
    let calendars = calendars(config, &mut problems);
    let grading = grading(config, &mut problems);
    let retention = retention(config, &mut problems);
    let templates_root = templates.display().to_string();
    let (set, registry) = match compile(templates) {
        Ok((set, registry)) => (Some(set), Some(registry)),
        Err(found) => {
            problems.extend(found);
            (None, None)
        }
    };
    let cadences: Vec<(Source, Cadence)> = files::folder(&config.join("cadences"), &mut problems)
        .into_iter()
        .filter_map(|file| cadence(&file, &mut problems))
        .collect();
    for (position, (source, cadence)) in cadences.iter().enumerate() {
        let others = cadences[..position].iter().map(|(_, other)| other);
        shared_grades(source, cadence, others, &mut problems);
        if let Some((settings, _)) = &settings {
            senders(source, cadence, settings, &mut problems);
            if let Some(registry) = &registry {
                step_templates(source, cadence, settings, registry, &mut problems);
                registered::steps(source, cadence, settings, registry, &mut problems);
            }
        }
    }
    if let (Some((settings, _)), Some(registry)) = (&settings, &registry) {
        let found = registered::texts(settings, registry).into_iter();
        problems.extend(found.map(|problem| template_problem(templates, problem)));
    }
    if let Some((settings, source)) = &settings {
        for (region, calendar) in &settings.gate.calendars {
            if !calendars.contains_key(calendar) {
                let path = ["gate", "calendars", region.as_str()];
                let problem = source.problem_at(&path, format!("there is no calendar `{calendar}`"));
                problems.push(problem.suggest(nearest(calendar, calendars.keys().map(String::as_str))));
            }
        }
    }
    if let Some((rules, source)) = &retention {
        win_backs(rules, source, &cadences, &mut problems);
    }
    match (settings, grading, retention, set, registry) {
        (Some((settings, _)), Some((grading, _)), Some((retention, _)), Some(set), Some(registry))
            if problems.is_empty() =>
        {
            let cadences: BTreeMap<_, _> = cadences
                .into_iter()
                .map(|(_, cadence)| (cadence.name.clone(), cadence))
                .collect();
            let documents = documents(&settings, &cadences, &calendars, &grading, &retention, &set)
                .map_err(|error| vec![Problem::of_file(config.display().to_string(), error.to_string())])?;
            Ok(Checked {
                settings,
                cadences,
                calendars,
                templates: set,
                registry,
                templates_root,
                documents,
            })
        }
        _ => {
            problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
            problems.dedup();
            Err(problems)
        }
    }
}

fn documents(
    settings: &Settings,
    cadences: &BTreeMap<String, Cadence>,
    calendars: &BTreeMap<String, Calendar>,
    grading: &GradingRules,
    retention: &RetentionRules,
    set: &TemplateSet,
) -> anyhow::Result<Vec<Document>> {
    let mut documents = vec![
        Document::new(DocumentKind::Company, "company", &settings.company)?,
        Document::new(DocumentKind::Gate, "gate", &settings.gate)?,
        Document::new(DocumentKind::Grading, "grading", grading)?,
        Document::new(DocumentKind::Retention, "retention", retention)?,
    ];
    for (name, cadence) in cadences {
        documents.push(Document::new(DocumentKind::Cadence, name, cadence)?);
    }
    for (name, calendar) in calendars {
        documents.push(Document::new(DocumentKind::Calendar, name, calendar)?);
    }
    for (name, template) in &set.templates {
        // With what it shares, so that any version can be rendered from itself.
        let whole = TemplateSet {
            templates: BTreeMap::from([(name.clone(), template.clone())]),
            shared: set.shared.clone(),
        };
        documents.push(Document::new(DocumentKind::Template, name, &whole)?);
    }
    Ok(documents)
}

fn read<T: DeserializeOwned>(file: &ConfigFile, problems: &mut Vec<Problem>) -> Option<(T, Source)> {
    let source = Source::of(file.path.as_str(), &file.text);
    match source.and_then(|source| Ok((source.read()?, source))) {
        Ok(read) => Some(read),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn calendars(config: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, Calendar> {
    let mut calendars = BTreeMap::new();
    for file in files::folder(&config.join("calendars"), problems) {
        // A name that is there but wrong is no reason to say that it is missing.
        let read = read::<Calendar>(&file, problems);
        let calendar = read.map_or_else(Calendar::default, |(calendar, source)| {
            problems.extend(calendar.check(&source));
            calendar
        });
        calendars.insert(file.stem, calendar);
    }
    calendars
}

fn grading(config: &Path, problems: &mut Vec<Problem>) -> Option<(GradingRules, Source)> {
    let file = or_shipped(config, "grading", grading::SHIPPED, problems)?;
    let (rules, source) = read::<GradingRules>(&file, problems)?;
    match rules.check() {
        Ok(()) => Some((rules, source)),
        Err(GradingError::Form(reason)) => {
            problems.push(Problem::of_file(file.path, reason));
            None
        }
        Err(GradingError::Sense { place, reason }) => {
            let rule = rules
                .evidence
                .iter()
                .rposition(|rule| place == format!("evidence `{}`", rule.name));
            let problem = match rule {
                Some(position) => source.problem_at(&["evidence", &position.to_string()], reason),
                None => source.problem_at(&place.split('.').collect::<Vec<_>>(), reason),
            };
            problems.push(problem);
            None
        }
    }
}

fn retention(config: &Path, problems: &mut Vec<Problem>) -> Option<(RetentionRules, Source)> {
    let file = or_shipped(config, "retention", retention::SHIPPED, problems)?;
    let (rules, source) = read::<RetentionRules>(&file, problems)?;
    match rules.check() {
        Ok(()) => Some((rules, source)),
        Err(RetentionError::Form(reason)) => {
            problems.push(Problem::of_file(file.path, reason));
            None
        }
        Err(RetentionError::Sense { place, reason }) => {
            problems.push(source.problem_at(&place.split('.').collect::<Vec<_>>(), reason));
            None
        }
    }
}

fn or_shipped(config: &Path, stem: &str, text: &str, problems: &mut Vec<Problem>) -> Option<ConfigFile> {
    let path = config.join(format!("{stem}.toml"));
    let before = problems.len();
    let shipped = || ConfigFile {
        path: format!("built-in {stem}.toml"),
        stem: stem.to_owned(),
        text: text.to_owned(),
    };
    let found = files::one(&path, problems);
    if problems.len() > before {
        None
    } else {
        Some(found.unwrap_or_else(shipped))
    }
}

fn compile(templates: &Path) -> Result<(TemplateSet, Registry), Vec<Problem>> {
    let placed = |found: Vec<Problem>| {
        found
            .into_iter()
            .map(|problem| template_problem(templates, problem))
            .collect::<Vec<_>>()
    };
    let set = TemplateSet::load(templates).map_err(placed)?;
    let registry = Registry::compile(&set).map_err(placed)?;
    Ok((set, registry))
}

fn template_problem(root: &Path, mut problem: Problem) -> Problem {
    if !Path::new(&problem.file).starts_with(root) {
        problem.file = root.join(&problem.file).display().to_string();
    }
    problem
}

fn cadence(file: &ConfigFile, problems: &mut Vec<Problem>) -> Option<(Source, Cadence)> {
    let (cadence, source) = read::<Cadence>(file, problems)?;
    problems.extend(
        cadence
            .faults(&file.stem)
            .into_iter()
            .map(|fault| placed(&source, fault)),
    );
    Some((source, cadence))
}

fn placed(source: &Source, fault: Fault) -> Problem {
    let path: Vec<&str> = fault.path.iter().map(String::as_str).collect();
    let meant = fault
        .unknown
        .and_then(|(word, known)| nearest(&word, known.iter().map(String::as_str)));
    source.problem_at(&path, fault.reason).suggest(meant)
}

/// A grade change moves a lead to *the* cadence of that grade, so there is one.
fn shared_grades<'a>(
    source: &Source,
    cadence: &Cadence,
    others: impl Iterator<Item = &'a Cadence>,
    problems: &mut Vec<Problem>,
) {
    for other in others {
        if let Some(grade) = cadence
            .entry
            .on_grade
            .iter()
            .find(|grade| other.entry.on_grade.contains(grade))
        {
            let reason = format!("grade {} already leads to `{}`", grade.as_str(), other.name);
            problems.push(source.problem_at(&["entry", "on_grade"], reason));
        }
    }
}

fn senders(source: &Source, cadence: &Cadence, settings: &Settings, problems: &mut Vec<Problem>) {
    for (position, step) in cadence.steps.iter().enumerate() {
        let position = position.to_string();
        let out: Vec<ChannelKind> = step
            .channel
            .as_slice()
            .iter()
            .copied()
            .filter(|channel| *channel != ChannelKind::Task)
            .collect();
        if let Some(name) = step.sender.as_deref() {
            let path = ["steps", position.as_str(), "sender"];
            match settings.senders.iter().find(|sender| sender.name == name) {
                None => {
                    let problem = source.problem_at(&path, format!("there is no sender `{name}`"));
                    let names = settings.senders.iter().map(|sender| sender.name.as_str());
                    problems.push(problem.suggest(nearest(name, names)));
                }
                Some(sender) if !out.contains(&sender.channel()) => {
                    let reason = format!(
                        "`{name}` carries {}, which is no channel of this step",
                        sender.channel().as_str()
                    );
                    problems.push(source.problem_at(&path, reason));
                }
                Some(_) => {}
            }
        }
        for channel in out
            .into_iter()
            .filter(|channel| settings.sender(*channel, None).is_none())
        {
            let reason = no_sender(channel, &cadence.name);
            problems.push(source.problem_at(&["steps", &position, "channel"], reason));
        }
    }
}

/// What is wrong where nothing carries a channel that a cadence uses, and what to do.
pub fn no_sender(channel: ChannelKind, cadence: &str) -> String {
    let channel = channel.as_str();
    format!(
        "kith.toml has no sender for {channel}, so `{cadence}` cannot send its {channel} steps: add [[senders]] with \
         channel = \"{channel}\" (senders of your own replace all the shipped ones), or take {channel} out of the steps"
    )
}

fn step_templates(
    source: &Source,
    cadence: &Cadence,
    settings: &Settings,
    registry: &Registry,
    problems: &mut Vec<Problem>,
) {
    for (position, step) in cadence.steps.iter().enumerate() {
        for channel in step.channel.as_slice() {
            let to_the_person = *channel != ChannelKind::Task;
            let way_out = to_the_person && step.function.class().offers_way_out();
            for found in registry.check_use(
                &step.template,
                *channel,
                &settings.company.default_locale,
                way_out,
            ) {
                let reason = if registry.has(&step.template) {
                    format!("template {}: {}", found.file, found.reason)
                } else {
                    found.reason
                };
                let problem = source.problem_at(&["steps", &position.to_string(), "template"], reason);
                problems.push(problem.suggest(found.suggestion));
            }
        }
    }
}

fn win_backs(
    rules: &RetentionRules,
    source: &Source,
    cadences: &[(Source, Cadence)],
    problems: &mut Vec<Problem>,
) {
    for tier in Tier::ALL {
        let Some(name) = rules.tier(tier).win_back.as_deref() else {
            continue;
        };
        if !cadences.iter().any(|(_, cadence)| cadence.name == name) {
            let problem = source.problem_at(
                &[tier.as_str(), "win_back"],
                format!("there is no cadence `{name}`"),
            );
            let names = cadences.iter().map(|(_, cadence)| cadence.name.as_str());
            problems.push(problem.suggest(nearest(name, names)));
        }
    }
}
