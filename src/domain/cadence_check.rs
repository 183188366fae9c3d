//! What is wrong with a cadence that reads well: steps that nobody reaches, ways that lead nowhere, loops without a wait.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta};
use chrono_tz::Tz;

use super::cadence::{Cadence, ChannelKind, DateFact, From, Reentry, Step, Subject};
use super::condition::Condition;
use super::fault::Fault;
use super::span::Span;

/// The word that ends a cadence where a step key could stand.
const END: &str = "end";

impl Cadence {
    /// Everything that types alone cannot tell and that needs no other document. `file_stem` is the name of its file.
    pub fn faults(&self, file_stem: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.name != file_stem {
            faults.push(at(
                &["name"],
                format!("must be the name of the file, `{file_stem}`"),
            ));
        }
        self.entry_faults(&mut faults);
        for (key, condition) in [("when", &self.exit.when), ("goal", &self.exit.goal)] {
            self.condition_faults(condition.as_ref(), &["exit", key], &mut faults);
        }
        for (key, span) in [
            ("human_contact_defers", self.exit.human_contact_defers),
            ("settle", self.exit.settle),
        ] {
            if span.length() < TimeDelta::zero() {
                faults.push(at(&["exit", key], "cannot reach back"));
            }
        }
        if self.steps.is_empty() {
            faults.push(at(&["steps"], "a cadence needs a step"));
        }
        for (position, step) in self.steps.iter().enumerate() {
            self.step_faults(position, step, &mut faults);
        }
        self.way_faults(&mut faults);
        faults
    }

    fn entry_faults(&self, faults: &mut Vec<Fault>) {
        let entry = &self.entry;
        let given = [
            !entry.on_grade.is_empty(),
            entry.on_event.is_some(),
            entry.on_date.is_some(),
            entry.schedule.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            faults.push(at(
                &["entry"],
                "exactly one of on_grade, on_event, on_date, schedule",
            ));
        }
        if !entry.on_grade.is_empty() && self.subject != Subject::Lead {
            faults.push(at(
                &["entry", "on_grade"],
                "only a lead has a grade: the subject must be `lead`",
            ));
        }
        match &entry.schedule {
            Some(schedule) => {
                let zone = entry.zone.unwrap_or(Tz::UTC);
                if schedule.next_after(DateTime::UNIX_EPOCH, zone).is_none() {
                    faults.push(at(&["entry", "schedule"], "there is no such day"));
                }
                if entry.audience.is_none() {
                    faults.push(at(
                        &["entry"],
                        "a schedule needs an `audience`, or everybody would be enrolled",
                    ));
                }
            }
            None if entry.zone.is_some() => faults.push(at(&["entry", "zone"], "belongs to a `schedule`")),
            None => {}
        }
        match &entry.reentry {
            Reentry::Event if entry.on_event.is_none() => {
                faults.push(at(&["entry", "reentry"], "`event` needs `on_event`"));
            }
            Reentry::Occurrence if entry.on_date.is_none() => {
                faults.push(at(&["entry", "reentry"], "`occurrence` needs `on_date`"));
            }
            Reentry::After(span) if span.length() <= TimeDelta::zero() => {
                faults.push(at(&["entry", "reentry"], "must be longer than nothing"));
            }
            _ => {}
        }
        if !(0.0..=0.5).contains(&entry.hold_out) {
            faults.push(at(&["entry", "hold_out"], "the share withheld is from 0 to 0.5"));
        }
        self.condition_faults(entry.audience.as_ref(), &["entry", "audience"], faults);
    }

    fn step_faults(&self, position: usize, step: &Step, faults: &mut Vec<Fault>) {
        let index = position.to_string();
        let mut fault =
            |keys: &[&str], reason: String| faults.push(at(keys, reason).below(&["steps", &index]));
        let good_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if step.key == END || step.key.is_empty() || !step.key.chars().all(good_key) {
            fault(
                &["key"],
                format!("small letters, digits and `-`, and not `{END}`"),
            );
        }
        if self.steps[..position].iter().any(|other| other.key == step.key) {
            fault(&["key"], format!("two steps have the key `{}`", step.key));
        }
        let channels = step.channel.as_slice();
        if channels.is_empty() {
            fault(&["channel"], "a step needs a channel".to_owned());
        }
        if channels
            .iter()
            .enumerate()
            .any(|(n, channel)| channels[..n].contains(channel))
        {
            fault(&["channel"], "a channel is named twice".to_owned());
        }
        if step.from == From::Owner && !channels.contains(&ChannelKind::Email) {
            fault(&["from"], "only a mail can come from the owner".to_owned());
        }
        for (key, span, least) in [
            ("wait", step.wait, TimeDelta::zero()),
            ("expires", step.expires, TimeDelta::seconds(1)),
            ("deadline", step.deadline, TimeDelta::seconds(1)),
            (
                "spread",
                step.spread.unwrap_or(Span::days(1)),
                TimeDelta::seconds(1),
            ),
        ] {
            if span.length() < least {
                let reason = if least.is_zero() {
                    "cannot reach back"
                } else {
                    "must be longer than nothing"
                };
                fault(&[key], reason.to_owned());
            }
        }
        if let Some(date) = &step.on_date
            && self.subject != Subject::Lead
            && matches!(date.date, DateFact::LeadExpectedOn | DateFact::LeadExpectedClose)
        {
            fault(
                &["on_date", "date"],
                "only a lead has this date: the subject must be `lead`".to_owned(),
            );
        }
        let known = || self.steps.iter().map(|step| step.key.as_str()).chain([END]);
        let leads_nowhere = |key: &str| key != END && self.step(key).is_none();
        if let Some(then) = step.then.as_deref().filter(|key| leads_nowhere(key)) {
            let fault = at(&["then"], format!("there is no step `{then}`")).unknown(then, known());
            faults.push(fault.below(&["steps", &index]));
        }
        self.condition_faults(step.guard.as_ref(), &["steps", &index, "guard"], faults);
        for (number, branch) in step.branch.iter().enumerate() {
            let number = number.to_string();
            let here = ["steps", &index, "branch", &number];
            if leads_nowhere(&branch.goto) {
                let reason = format!("there is no step `{}`", branch.goto);
                faults.push(at(&["goto"], reason).unknown(&branch.goto, known()).below(&here));
            }
            self.condition_faults(Some(&branch.when), &[here.as_slice(), &["when"]].concat(), faults);
        }
    }

    fn condition_faults(&self, condition: Option<&Condition>, path: &[&str], faults: &mut Vec<Fault>) {
        let found = condition
            .map(|condition| condition.faults(self.subject))
            .unwrap_or_default();
        faults.extend(found.into_iter().map(|fault| fault.below(path)));
    }

    /// Positions of the steps that may come right after one.
    fn next_positions(&self, position: usize) -> BTreeSet<usize> {
        let step = &self.steps[position];
        let place = |key: &str| self.steps.iter().position(|step| step.key == key);
        let onward = match step.then.as_deref() {
            Some(key) => place(key),
            None => Some(position + 1).filter(|next| *next < self.steps.len()),
        };
        step.branch
            .iter()
            .filter_map(|branch| place(&branch.goto))
            .chain(onward)
            .collect()
    }

    fn way_faults(&self, faults: &mut Vec<Fault>) {
        let mut reached = BTreeSet::new();
        let mut to_see: Vec<usize> = if self.steps.is_empty() {
            Vec::new()
        } else {
            vec![0]
        };
        while let Some(position) = to_see.pop() {
            if reached.insert(position) {
                to_see.extend(self.next_positions(position));
            }
        }
        for (position, step) in self.steps.iter().enumerate() {
            if !reached.contains(&position) {
                let reason = format!("nothing leads to the step `{}`", step.key);
                faults.push(at(&["key"], reason).below(&["steps", &position.to_string()]));
            }
        }
        for position in reached {
            if self.returns_at_once(position) {
                let reason = format!(
                    "the steps from `{}` lead back to it without a `wait`",
                    self.steps[position].key
                );
                faults.push(at(&["wait"], reason).below(&["steps", &position.to_string()]));
                // Its fellows in the loop have the same fault.
                return;
            }
        }
    }

    /// Whether a step comes round to itself through steps none of which waits.
    fn returns_at_once(&self, start: usize) -> bool {
        let at_once = |position: &usize| self.steps[*position].wait.length() <= TimeDelta::zero();
        let mut seen = BTreeSet::new();
        let mut to_see: Vec<usize> = self.next_positions(start).into_iter().filter(at_once).collect();
        while let Some(position) = to_see.pop() {
            if position == start {
                return true;
            }
            if seen.insert(position) {
                to_see.extend(self.next_positions(position).into_iter().filter(at_once));
            }
        }
        false
    }
}

fn at(keys: &[&str], reason: impl Into<String>) -> Fault {
    Fault::new(&[], keys, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "c"
title = "t"
subject = "lead"
entry = { on_grade = ["B"] }
[[steps]]
key = "one"
channel = "email"
template = "x"
function = "information"
branch = [{ when = { event = "clicked", within = "9d" }, goto = "three" }]
[[steps]]
key = "two"
channel = ["sms", "email"]
template = "x"
function = "transaction"
wait = "3d"
[[steps]]
key = "three"
channel = "task"
template = "x"
function = "care"
wait = "1d"
"#;

    fn faults(from: &str, to: &str) -> Vec<String> {
        assert!(GOOD.contains(from), "{from}");
        let cadence: Cadence = toml::from_str(&GOOD.replacen(from, to, 1)).unwrap();
        cadence
            .faults("c")
            .into_iter()
            .map(|fault| format!("{}: {}", fault.path.join("."), fault.reason))
            .collect()
    }

    #[test]
    fn a_good_cadence_has_no_fault() {
        assert_eq!(faults("c", "c"), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_found_once_where_it_stands() {
        for (from, to, found) in [
            (
                "name = \"c\"",
                "name = \"d\"",
                "name: must be the name of the file",
            ),
            ("[\"B\"]", "[]", "entry: exactly one of"),
            (
                "[\"B\"] }",
                "[\"B\"], on_event = \"form\" }",
                "entry: exactly one of",
            ),
            (
                "[\"B\"] }",
                "[\"B\"], zone = \"Asia/Tokyo\" }",
                "entry.zone: belongs to",
            ),
            (
                "[\"B\"] }",
                "[\"B\"], hold_out = 0.6 }",
                "entry.hold_out: the share",
            ),
            (
                "[\"B\"] }",
                "[\"B\"], reentry = \"event\" }",
                "entry.reentry: `event` needs",
            ),
            (
                "[\"B\"] }",
                "[\"B\"], reentry = \"occurrence\" }",
                "entry.reentry: `occurrence` needs",
            ),
            (
                "[\"B\"] }",
                "[\"B\"], reentry = { after = \"0d\" } }",
                "entry.reentry: must be longer",
            ),
            (
                "on_grade = [\"B\"]",
                "schedule = \"0 9 * * 1\"",
                "entry: a schedule needs an `audience`",
            ),
            (
                "on_grade = [\"B\"]",
                "schedule = \"0 9 30 2 *\", audience = { fact = \"lead.open\", is = true }",
                "entry.schedule: there is no such day",
            ),
            (
                "[[steps]]\nkey = \"one\"",
                "exit = { settle = \"-1d\" }\n[[steps]]\nkey = \"one\"",
                "exit.settle: cannot",
            ),
            ("key = \"two\"", "key = \"one\"", "steps.1.key: two steps"),
            ("key = \"one\"", "key = \"One\"", "steps.0.key: small letters"),
            ("[\"sms\", \"email\"]", "[]", "steps.1.channel: a step needs"),
            (
                "[\"sms\", \"email\"]",
                "[\"sms\", \"sms\"]",
                "steps.1.channel: a channel is named twice",
            ),
            (
                "function = \"care\"",
                "function = \"care\"\nfrom = \"owner\"",
                "steps.2.from: only a mail",
            ),
            (
                "wait = \"3d\"",
                "wait = \"-3d\"",
                "steps.1.wait: cannot reach back",
            ),
            (
                "wait = \"3d\"",
                "wait = \"3d\"\nexpires = \"0s\"",
                "steps.1.expires: must be longer",
            ),
            (
                "goto = \"three\"",
                "goto = \"there\"",
                "steps.0.branch.0.goto: there is no step `there`",
            ),
            (
                "wait = \"3d\"",
                "wait = \"3d\"\nthen = \"tree\"",
                "steps.1.then: there is no step `tree`",
            ),
            (
                "function = \"care\"",
                "function = \"care\"\nguard = { fact = \"lead.x\", is = 1 }",
                "steps.2.guard.fact: there",
            ),
        ] {
            let all = faults(from, to);
            assert_eq!(
                all.iter().filter(|one| one.starts_with(found)).count(),
                1,
                "{to}: {all:?}"
            );
        }
    }

    #[test]
    fn steps_that_nobody_reaches_are_named() {
        assert_eq!(
            faults(
                "branch = [{ when = { event = \"clicked\", within = \"9d\" }, goto = \"three\" }]",
                "then = \"three\""
            ),
            ["steps.1.key: nothing leads to the step `two`"]
        );
        assert_eq!(
            faults("wait = \"3d\"", "wait = \"3d\"\nthen = \"end\""),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_loop_must_wait_somewhere() {
        let looped = "wait = \"3d\"\nthen = \"one\"";
        assert_eq!(faults("wait = \"3d\"", looped), Vec::<String>::new());
        assert_eq!(
            faults("wait = \"3d\"", "then = \"one\""),
            ["steps.0.wait: the steps from `one` lead back to it without a `wait`"]
        );
        assert_eq!(
            faults("wait = \"1d\"", "then = \"three\""),
            ["steps.2.wait: the steps from `three` lead back to it without a `wait`"]
        );
    }

    #[test]
    fn what_only_a_lead_has_needs_a_lead() {
        let cadence: Cadence = toml::from_str(&GOOD.replacen("\"lead\"", "\"contact\"", 1).replacen(
            "wait = \"3d\"",
            "on_date = { date = \"lead.expected_on\" }",
            1,
        ))
        .unwrap();
        let paths: Vec<_> = cadence
            .faults("c")
            .into_iter()
            .map(|fault| fault.path.join("."))
            .collect();
        assert_eq!(paths, ["entry.on_grade", "steps.1.on_date.date"]);
    }
}
