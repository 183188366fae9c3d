//! The verdict: the mail server's history against the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::ground::{DOMAIN, FAR, OWED};
use super::opt_out::OptOut;
use super::wire::Cost;
use crate::engine::uncertain::FROM_TRAIL;
use crate::sandbox::checker::{self, Outcome, Told};
use crate::sandbox::smtp::Record;
use crate::store::chaos::Account;

/// What is judged.
pub struct Case<'a> {
    /// The mail server's history.
    pub records: &'a [Record],
    /// What the database says about every enrollment.
    pub accounts: &'a [Account],
    /// How often each message was called uncertain.
    pub unknowns: &'a HashMap<Uuid, i64>,
    /// What each blow cost, by the wire.
    pub costs: &'a [Cost],
    /// The opt-outs that were answered.
    pub opt_outs: &'a [OptOut],
    /// Everybody who opted out, or tried to.
    pub asked: &'a BTreeSet<String>,
    /// Why the brake is on, if it is.
    pub brake: Option<&'a str>,
    /// How many letters there should be.
    pub messages: i64,
    /// Now.
    pub now: DateTime<Utc>,
}

/// The verdict of a run. All of `lost`, `duplicates`, `unrecorded_unknown`, `sent_after_opt_out` and `cap_broken` must be 0, and
/// the brake off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Blows.
    pub cycles: usize,
    /// Letters that were planned.
    pub messages: i64,
    /// Those that the database calls accepted.
    pub accepted: i64,
    /// Letters that neither ended nor wait, those that were not sent without a reason, and those called accepted that nobody has.
    pub lost: usize,
    /// Letters that somebody has more often than recorded unknowns explain.
    pub duplicates: usize,
    /// Letters of which nobody knows whether they arrived, in the end.
    pub uncertain: usize,
    /// Letters that somebody has although the database calls them not sent, and those called accepted whose reply nobody read.
    pub unrecorded_unknown: usize,
    /// Letters to people whose opt-out had been answered, which had not crossed by then.
    pub sent_after_opt_out: usize,
    /// People who have more marketing than the cap allows.
    pub cap_broken: usize,
    /// The brake came on by itself.
    pub brake_on: bool,
    /// What everything was drawn from.
    pub seed: u64,
    /// Refused by the mail server, or given up.
    pub refused: usize,
    /// Not sent for a reason: opted out, address dead.
    pub skipped: usize,
    /// Held by the cap until much later.
    pub held: usize,
    /// Opt-outs that were answered.
    pub opt_outs: usize,
    /// Letters that were unknown at some time, settled or not.
    pub ever_unknown: usize,
    /// Those of them whose dot the mail server never got: cautious, not wrong.
    pub unknown_without_dot: usize,
    /// Those of them that the mail server had answered, but the answer was lost on its way or with the daemon that got it.
    pub unknown_answered: usize,
    /// Letters that were really between dot and reply when a blow came, or whose reply never came to their daemon; by the
    /// daemons' end of the links.
    pub between_dot_and_reply: usize,
    /// Letters that are unknown in the end beyond those, summed over the blows.
    pub unknown_beyond: usize,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        let broken =
            self.lost + self.duplicates + self.unrecorded_unknown + self.sent_after_opt_out + self.cap_broken;
        broken == 0 && !self.brake_on
    }
}

/// Judges. The second value says what is wrong, one line each.
pub fn judge(case: &Case<'_>, cycles: usize, seed: u64) -> (Verdict, Vec<String>) {
    let mut wrong: Vec<String> = case
        .brake
        .map(|why| format!("the brake is on: {why}"))
        .into_iter()
        .collect();
    let mut verdict = Verdict {
        brake_on: case.brake.is_some(),
        cycles,
        seed,
        messages: case.messages,
        opt_outs: case.opt_outs.len(),
        ever_unknown: case.unknowns.len(),
        between_dot_and_reply: case.costs.iter().map(|cost| cost.between).sum(),
        unknown_beyond: case.costs.iter().map(Cost::beyond).sum(),
        ..Verdict::default()
    };
    count_ends(case, &mut verdict, &mut wrong);
    compare(case, &mut verdict, &mut wrong);
    after_opt_outs(case, &mut verdict, &mut wrong);
    over_the_cap(case, &mut verdict, &mut wrong);
    (verdict, wrong)
}

/// Everything has an end or waits for a good reason.
fn count_ends(case: &Case<'_>, verdict: &mut Verdict, wrong: &mut Vec<String>) {
    let missing = usize::try_from(case.messages)
        .unwrap_or(0)
        .saturating_sub(case.accounts.len());
    if missing > 0 {
        verdict.lost += missing;
        wrong.push(format!("{missing} letters are unknown to the database"));
    }
    // Who was told for good that there is nobody.
    let dead: BTreeSet<&str> = case
        .records
        .iter()
        .filter(|record| record.reply.starts_with('5'))
        .flat_map(|record| record.rcpt.iter().map(String::as_str))
        .collect();
    for one in case.accounts {
        let address = one.address.as_str();
        // An opt-out ends whatever the person is in.
        let has_reason = dead.contains(address) || case.asked.contains(address);
        let waits =
            one.queued.as_deref() == Some("waiting") && one.due_at.is_some_and(|at| at > case.now + FAR);
        match (one.touch.as_deref(), one.outcome.as_deref()) {
            (Some("sent"), Some("accepted")) => verdict.accepted += 1,
            // One more try of an owed one may be forbidden by then; that the first is unknown is still recorded.
            (Some("uncertain" | "skipped" | "cancelled"), Some("uncertain")) => verdict.uncertain += 1,
            (Some("failed"), Some("refused")) => verdict.refused += 1,
            (Some("skipped" | "cancelled"), None) if has_reason => verdict.skipped += 1,
            // Stopped before it was planned.
            (None, None) if !one.active && has_reason => verdict.skipped += 1,
            (Some("queued"), None) if waits => verdict.held += 1,
            (touch, outcome) => {
                verdict.lost += 1;
                wrong.push(format!(
                    "lost: {} of {}: touch {touch:?}, queue {:?}, message {outcome:?}",
                    one.cadence, one.address, one.queued
                ));
            }
        }
    }
}

/// The mail server's history against the outcomes.
fn compare(case: &Case<'_>, verdict: &mut Verdict, wrong: &mut Vec<String>) {
    let mut told = BTreeMap::new();
    for one in case.accounts {
        let Some(message) = one.message_id else { continue };
        let reply = one.reply.as_deref().unwrap_or_default();
        let outcome = match one.outcome.as_deref() {
            // An opt-out names its message, which the database takes for a sign that it arrived. The people of a run opt out
            // of letters they may never have got, so it stays what it was: unknown.
            Some("accepted") if reply.starts_with("settled by") => Outcome::Uncertain,
            Some("accepted") => Outcome::Accepted,
            Some("uncertain") => Outcome::Uncertain,
            Some("refused") => Outcome::Refused,
            _ => Outcome::NotSent,
        };
        // What is held when unknown is never tried again, so nothing explains a second copy of it.
        let earlier = if one.cadence == OWED {
            let seen =
                case.unknowns.get(&message).copied().unwrap_or(0) - i64::from(outcome == Outcome::Uncertain);
            seen.min(i64::from(one.tries.unwrap_or(1)) - 1).max(0)
        } else {
            0
        };
        let earlier_uncertain = u32::try_from(earlier).unwrap_or(0);
        told.insert(
            message_id(message),
            Told {
                outcome,
                earlier_uncertain,
            },
        );
        // The reply names the letter, so a daemon that calls it accepted has read just that.
        if outcome == Outcome::Accepted
            && !reply.ends_with(FROM_TRAIL)
            && !reply.contains(&message_id(message))
        {
            verdict.unrecorded_unknown += 1;
            wrong.push(format!("accepted without its reply: {message}: {reply:?}"));
        }
    }
    let found = checker::check(case.records, &told);
    verdict.lost += found.lost.len();
    verdict.duplicates += found.duplicates.len();
    verdict.unrecorded_unknown += found.untold.len() + found.guessed.len() + found.strangers.len();
    for (what, list) in [
        ("called accepted, but nobody has it", &found.lost),
        ("called not sent, but somebody has it", &found.untold),
        ("called accepted, but never said so", &found.guessed),
        ("unknown to the database", &found.strangers),
    ] {
        wrong.extend(list.iter().map(|id| format!("{what}: {id}")));
    }
    wrong.extend(
        found
            .duplicates
            .iter()
            .map(|(id, copies)| format!("{copies} copies of {id}")),
    );
    // Of each letter whose dot came: whether it was ever answered.
    let mut dots: BTreeMap<&str, bool> = BTreeMap::new();
    for record in case
        .records
        .iter()
        .filter(|record| record.dot_received_at.is_some())
    {
        *dots.entry(&record.message_id).or_default() |= record.reply_delivered;
    }
    for message in case.unknowns.keys() {
        match dots.get(message_id(*message).as_str()) {
            None => verdict.unknown_without_dot += 1,
            Some(true) => verdict.unknown_answered += 1,
            Some(false) => {}
        }
    }
}

/// After an opt-out was answered nothing crosses; what is owed goes on.
fn after_opt_outs(case: &Case<'_>, verdict: &mut Verdict, wrong: &mut Vec<String>) {
    for one in case.opt_outs {
        let of_him = case
            .accounts
            .iter()
            .filter(|account| account.address == one.address && account.cadence != OWED);
        for account in of_him {
            let Some(message) = account.message_id else {
                continue;
            };
            let id = message_id(message);
            let later = case
                .records
                .iter()
                .filter(|record| {
                    record.message_id == id && record.dot_received_at.is_some_and(|at| at > one.dots)
                })
                .count();
            // The dot of what had crossed may come a moment later.
            let allowed = usize::from(one.crossed.contains(&message));
            if later > allowed || account.crossing_at.is_some_and(|at| at > one.at) {
                verdict.sent_after_opt_out += 1;
                wrong.push(format!("sent after the opt-out of {}: {id}", one.address));
            }
        }
    }
}

/// One letter of marketing a person in all this time.
fn over_the_cap(case: &Case<'_>, verdict: &mut Verdict, wrong: &mut Vec<String>) {
    let marketing: BTreeSet<String> = case
        .accounts
        .iter()
        .filter(|account| account.cadence != OWED)
        .filter_map(|account| account.message_id.map(message_id))
        .collect();
    let mut got: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in case
        .records
        .iter()
        .filter(|record| record.stored && marketing.contains(&record.message_id))
    {
        for to in &record.rcpt {
            got.entry(to).or_default().insert(&record.message_id);
        }
    }
    for (to, letters) in got.into_iter().filter(|(_, letters)| letters.len() > 1) {
        verdict.cap_broken += 1;
        wrong.push(format!("{to} has {} letters of marketing", letters.len()));
    }
}

fn message_id(message: Uuid) -> String {
    format!("{}@{DOMAIN}", message.simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::smtp::Stage;

    const ID: Uuid = Uuid::from_u128(7);

    fn account(cadence: &str, touch: &str, outcome: Option<&str>) -> Account {
        Account {
            address: "ann@example.com".to_owned(),
            cadence: cadence.to_owned(),
            active: true,
            message_id: Some(ID),
            touch: Some(touch.to_owned()),
            queued: None,
            due_at: None,
            outcome: outcome.map(str::to_owned),
            tries: Some(1),
            reply: Some(format!("250 2.0.0 taken {}", message_id(ID))),
            crossing_at: None,
        }
    }

    fn taken(at: u64, heard: bool) -> Record {
        Record {
            connection: 1,
            transaction: 1,
            message_id: message_id(ID),
            mail_from: String::new(),
            rcpt: vec!["ann@example.com".to_owned()],
            bytes: None,
            size: 1,
            dot_received_at: Some(at),
            stored: true,
            reply: "250 2.0.0 taken".to_owned(),
            reply_delivered: heard,
            stage: Stage::Dot,
            link_received: 0,
            link_sent: 0,
        }
    }

    fn verdict(
        records: &[Record],
        accounts: &[Account],
        unknowns: &[(Uuid, i64)],
        opt_outs: &[OptOut],
    ) -> Verdict {
        let case = Case {
            records,
            accounts,
            unknowns: &unknowns.iter().copied().collect(),
            costs: &[],
            opt_outs,
            asked: &opt_outs.iter().map(|one| one.address.clone()).collect(),
            brake: None,
            messages: 1,
            now: DateTime::UNIX_EPOCH,
        };
        judge(&case, 0, 0).0
    }

    #[test]
    fn what_agrees_is_clean() {
        let sent = account("chaos-note", "sent", Some("accepted"));
        let clean = verdict(&[taken(1, true)], &[sent], &[], &[]);
        assert!(clean.is_clean() && clean.accepted == 1, "{clean:?}");
        let unknown = account("chaos-note", "uncertain", Some("uncertain"));
        let clean = verdict(&[taken(1, false)], &[unknown], &[(ID, 1)], &[]);
        assert!(clean.is_clean() && clean.uncertain == 1, "{clean:?}");
    }

    #[test]
    fn what_is_missing_is_lost() {
        assert_eq!(verdict(&[], &[], &[], &[]).lost, 1);
        assert_eq!(
            verdict(&[], &[account("chaos-note", "queued", None)], &[], &[]).lost,
            1
        );
        let sent = account("chaos-note", "sent", Some("accepted"));
        assert_eq!(verdict(&[], &[sent], &[], &[]).lost, 1);
    }

    #[test]
    fn what_was_skipped_has_a_reason_or_is_lost() {
        let skipped = |cadence| [account(cadence, "skipped", None)];
        let opt_out = OptOut {
            address: "ann@example.com".to_owned(),
            at: DateTime::UNIX_EPOCH,
            dots: 9,
            crossed: Vec::new(),
        };
        let ends = |cadence, records: &[Record], opt_outs: &[OptOut]| {
            let told = verdict(records, &skipped(cadence), &[], opt_outs);
            (told.skipped, told.lost, told.is_clean())
        };
        assert_eq!(ends("chaos-note", &[], &[]), (0, 1, false));
        assert_eq!(
            ends("chaos-note", &[], std::slice::from_ref(&opt_out)),
            (1, 0, true)
        );
        let somebody_else = OptOut {
            address: "bob@example.com".to_owned(),
            ..opt_out
        };
        assert_eq!(ends("chaos-note", &[], &[somebody_else]), (0, 1, false));
        let mut dead = taken(1, true);
        (dead.stored, dead.reply) = (false, "550 5.1.1 nobody here".to_owned());
        let mut refused = account("chaos-note", "failed", Some("refused"));
        refused.message_id = Some(Uuid::from_u128(8));
        dead.message_id = message_id(Uuid::from_u128(8));
        let told = verdict(&[dead], &[refused, account(OWED, "skipped", None)], &[], &[]);
        assert_eq!((told.skipped, told.refused, told.lost), (1, 1, 0));
    }

    #[test]
    fn the_brake_breaks_a_promise() {
        let case = Case {
            records: &[],
            accounts: &[],
            unknowns: &HashMap::new(),
            costs: &[],
            opt_outs: &[],
            asked: &BTreeSet::new(),
            brake: Some("by itself"),
            messages: 0,
            now: DateTime::UNIX_EPOCH,
        };
        let (told, wrong) = judge(&case, 0, 0);
        assert!(told.brake_on && !told.is_clean() && wrong == ["the brake is on: by itself"]);
    }

    #[test]
    fn a_second_copy_is_explained_by_an_unknown_of_what_is_owed_alone() {
        let twice = [taken(1, false), taken(2, true)];
        let mut owed = account(OWED, "sent", Some("accepted"));
        owed.tries = Some(2);
        let told = verdict(&twice, &[owed.clone()], &[(ID, 1)], &[]);
        assert!(told.is_clean(), "{told:?}");
        assert_eq!(verdict(&twice, &[owed], &[], &[]).duplicates, 1);
        let note = account("chaos-note", "sent", Some("accepted"));
        assert_eq!(verdict(&twice, &[note], &[(ID, 1)], &[]).duplicates, 1);
    }

    #[test]
    fn an_acceptance_that_nobody_read_is_an_unrecorded_unknown() {
        let mut sent = account("chaos-note", "sent", Some("accepted"));
        sent.reply = Some("250 2.0.0 taken somebody else".to_owned());
        assert_eq!(
            verdict(&[taken(1, true)], &[sent], &[], &[]).unrecorded_unknown,
            1
        );
        let not_sent = account("chaos-note", "cancelled", None);
        assert_eq!(
            verdict(&[taken(1, true)], &[not_sent], &[], &[]).unrecorded_unknown,
            1
        );
    }

    #[test]
    fn what_had_not_crossed_must_not_go_after_an_opt_out() {
        let sent = || vec![account("chaos-note", "sent", Some("accepted"))];
        let opt_out = |crossed| OptOut {
            address: "ann@example.com".to_owned(),
            at: DateTime::UNIX_EPOCH,
            dots: 1,
            crossed,
        };
        let after =
            |crossed| verdict(&[taken(2, true)], &sent(), &[], &[opt_out(crossed)]).sent_after_opt_out;
        assert_eq!((after(vec![]), after(vec![ID])), (1, 0));
        assert_eq!(
            verdict(&[taken(1, true)], &sent(), &[], &[opt_out(vec![])]).sent_after_opt_out,
            0
        );
    }

    #[test]
    fn two_letters_of_marketing_break_the_cap() {
        let mut more = account("chaos-more", "sent", Some("accepted"));
        more.message_id = Some(Uuid::from_u128(8));
        more.reply = Some(message_id(Uuid::from_u128(8)));
        let mut second = taken(2, true);
        second.message_id = message_id(Uuid::from_u128(8));
        let note = account("chaos-note", "sent", Some("accepted"));
        let told = verdict(
            &[taken(1, true), second.clone()],
            &[note.clone(), more.clone()],
            &[],
            &[],
        );
        assert_eq!(told.cap_broken, 1);
        more.cadence = OWED.to_owned();
        assert!(verdict(&[taken(1, true), second], &[note, more], &[], &[]).is_clean());
    }
}
