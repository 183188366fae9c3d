//! The reference of cadences says what the program does: its examples are run, its table of facts is the program's.

use std::path::Path;

use kith::config::problem::nearest;
use kith::config::source::Source;
use kith::domain::cadence::{Cadence, Entry, Exit, People, Step, Subject};
use kith::domain::condition::Condition;
use kith::domain::event::EventType;
use kith::domain::fact::{FACTS, FactType};
use kith::domain::fault::Fault;
use serde::Deserialize;

fn reference() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cadences.md")).unwrap()
}

/// Blocks of the reference: what stands behind the fence, and the text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some((kind.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    when: Condition,
}

fn around(entry: Entry, steps: Vec<Step>) -> Cadence {
    let subject = Subject::Lead;
    Cadence {
        name: "x".into(),
        title: "x".into(),
        subject,
        people: People::default(),
        priority: 50,
        entry,
        exit: Exit::default(),
        steps,
    }
}

fn plain_entry() -> Entry {
    toml::from_str("on_grade = [\"B\"]").unwrap()
}

fn plain_step() -> Step {
    toml::from_str("key = \"s\"\nchannel = \"task\"\ntemplate = \"a-task\"\nfunction = \"service\"").unwrap()
}

/// What the check says of an example, in the words of a refusal.
fn faults(kind: &str, body: &str) -> Vec<String> {
    let source = Source::of("example", body).unwrap();
    let found: Result<Vec<Fault>, _> = match kind {
        "toml cadence" => source
            .read::<Cadence>()
            .map(|cadence| cadence.faults(&cadence.name)),
        "toml entry" => source
            .read::<Entry>()
            .map(|entry| around(entry, vec![plain_step()]).faults("x")),
        "toml step" => source
            .read::<Step>()
            .map(|step| around(plain_entry(), vec![step]).faults("x")),
        "toml condition" => source.read::<When>().map(|when| when.when.faults(Subject::Lead)),
        other => panic!("a block of unknown kind: {other}"),
    };
    let told = |fault: Fault| {
        let meant = fault
            .unknown
            .and_then(|(word, known)| nearest(&word, known.iter().map(String::as_str)));
        fault.reason
            + &meant
                .map(|meant| format!(" (did you mean {meant}?)"))
                .unwrap_or_default()
    };
    match found {
        Ok(faults) => faults.into_iter().map(told).collect(),
        Err(problem) => vec![problem.reason],
    }
}

#[test]
fn the_examples_do_what_the_reference_says() {
    let reference = reference();
    let blocks = blocks(&reference);
    let mut run = 0;
    for (position, (kind, body)) in blocks.iter().enumerate() {
        if kind == "refused" {
            continue;
        }
        let found = faults(kind, body);
        let expected: Vec<&str> = match blocks.get(position + 1) {
            Some((kind, refusal)) if kind == "refused" => vec![refusal.trim_end()],
            _ => vec![],
        };
        assert_eq!(found, expected, "{body}");
        run += 1;
    }
    assert!(run >= 15, "{run} examples");
}

#[test]
fn the_reference_names_every_fact_and_event() {
    let reference = reference();
    for fact in FACTS {
        let row = format!("| `{}` | {} | {} |", fact.name, in_words(fact.kind), fact.meaning);
        assert!(reference.contains(&row), "the reference lacks\n{row}");
    }
    let flat = reference.replace('\n', " ");
    for event in EventType::ALL {
        assert!(flat.contains(event.as_str()), "{event}");
    }
}

fn in_words(kind: FactType) -> String {
    match kind {
        FactType::Text => "text".to_owned(),
        FactType::Word(words) => words.all().join(", "),
        FactType::YesNo => "true, false".to_owned(),
        FactType::Number => "number".to_owned(),
        FactType::Instant => "instant".to_owned(),
        FactType::Date => "date".to_owned(),
    }
}
