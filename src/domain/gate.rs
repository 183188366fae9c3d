//! The gate: whether a touch may go out now, and if not, why and when to look again. One place for every channel.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::cadence::{ChannelKind, Class};
use super::gate_rules::{Cap, GateRules, Period};
use super::holiday::HolidayCalendar;
use super::window::{SendWindow, next_open};
use super::zone::{day_start, local_date};

/// Proof that the gate was passed for one touch. Only the gate makes one; `Channel::send` asks for it.
#[derive(Debug)]
pub struct Clearance {
    _proof: (),
}

impl Clearance {
    fn granted() -> Self {
        Self { _proof: () }
    }

    /// For a message an operator sends by hand to an address of his own (`kith send-test`): there is no touch to judge.
    pub fn by_operator() -> Self {
        Self::granted()
    }

    /// For mail to the company's own people, such as the digest: it is no touch.
    pub fn for_colleague() -> Self {
        Self::granted()
    }
}

/// Why a touch is not sent now. The text form is what decisions, reports and `explain` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Too late; never sent in a flood.
    Expired,
    /// The person opted out of the channel.
    OptedOut,
    /// The person reported spam.
    SpamReport,
    /// The address does not take mail.
    AddressBad,
    /// An operator closed the address.
    Suppressed,
    /// No address for the channel.
    NoAddress,
    /// No permission for the channel.
    NoConsent,
    /// The person wants to be called, not written to.
    PrefersPhone,
    /// The lead was given up.
    NotFit,
    /// The lead is closed.
    LeadClosed,
    /// The record was merged into another.
    Merged,
    /// The enrollment ended.
    Ended,
    /// Withheld as control of a hold-out.
    HoldOut,
    /// The brake is on.
    Brake,
    /// A complaint of the customer is open.
    Grievance,
    /// The owner keeps the person to himself until a date.
    LeaveToMe,
    /// A colleague spoke with the person just now.
    HumanContact,
    /// Outside the hours for sending.
    QuietHours,
    /// A day off where the person lives.
    Holiday,
    /// A colleague of the same customer is written to today.
    Colleague,
    /// Enough messages for now.
    Cap,
    /// Rehearsal mode, and the address is not on the list.
    Rehearsal,
    /// The other side asked to try again later.
    Deferred,
    /// What the template needs is missing, or it broke.
    Render,
    /// No sender for the channel is configured.
    NoSender,
    /// A receiving side blocks the sender, which is left alone for a while.
    SenderPaused,
    /// Sender, provider or domain has had enough for now.
    Pace,
    /// Its sender is left alone after failures, and nobody stands in.
    SenderDown,
}

impl Reason {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::OptedOut => "opted-out",
            Self::SpamReport => "spam-report",
            Self::AddressBad => "address-bad",
            Self::Suppressed => "suppressed",
            Self::NoAddress => "no-address",
            Self::NoConsent => "no-consent",
            Self::PrefersPhone => "prefers-phone",
            Self::NotFit => "not-fit",
            Self::LeadClosed => "lead-closed",
            Self::Merged => "merged",
            Self::Ended => "ended",
            Self::HoldOut => "hold-out",
            Self::Brake => "brake",
            Self::Grievance => "grievance",
            Self::LeaveToMe => "leave-to-me",
            Self::HumanContact => "human-contact",
            Self::QuietHours => "quiet-hours",
            Self::Holiday => "holiday",
            Self::Colleague => "colleague",
            Self::Cap => "cap",
            Self::Rehearsal => "rehearsal",
            Self::Deferred => "deferred",
            Self::Render => "render",
            Self::NoSender => "no-sender",
            Self::SenderPaused => "sender-paused",
            Self::Pace => "pace",
            Self::SenderDown => "sender-down",
        }
    }

    /// Whether a touch held for this reason had passed the gate before.
    pub fn is_past_the_gate(reason: &str) -> bool {
        reason == Self::Pace.as_str() || reason == Self::SenderDown.as_str()
    }
}

/// What is known about one touch and its person.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that the gate asks for"
)]
pub struct Facts<'a> {
    /// Channel.
    pub channel: ChannelKind,
    /// Class.
    pub class: Class,
    /// Zone of the person.
    pub zone: Tz,
    /// Not after this.
    pub expires_at: DateTime<Utc>,
    /// Key of the person in the caps.
    pub contact: String,
    /// Key of the customer in the caps; `None` where he has only one contact.
    pub account: Option<String>,
    /// There is an address.
    pub has_address: bool,
    /// Permission as last given or refused.
    pub consent: Option<bool>,
    /// Reason of a suppression in force.
    pub suppressed: Option<&'a str>,
    /// Preferred channel.
    pub preferred_channel: Option<&'a str>,
    /// The record was merged.
    pub merged: bool,
    /// The lead was given up.
    pub not_fit: bool,
    /// The lead is closed.
    pub lead_closed: bool,
    /// The enrollment is live.
    pub enrolled: bool,
    /// A complaint is open.
    pub grievance: bool,
    /// "Leave to me until".
    pub leave_until: Option<NaiveDate>,
    /// Somebody of the same customer goes first today.
    pub colleague_first: bool,
    /// Messages to the person, newest first.
    pub to_contact: &'a [DateTime<Utc>],
    /// Marketing messages to the customer, newest first.
    pub to_account: &'a [DateTime<Utc>],
    /// Until when its sender is left alone.
    pub sender_paused: Option<DateTime<Utc>>,
    /// Nothing may cross.
    pub brake: bool,
    /// Rehearsal mode and not on the list.
    pub not_on_list: bool,
    /// Limits of the sender itself, where it has any.
    pub carrier: Option<Carrier<'a>>,
}

/// What a sender limits by itself, whatever the rules of its channel are.
#[derive(Debug, Clone)]
pub struct Carrier<'a> {
    /// When the class may go out over it.
    pub window: Option<&'a SendWindow>,
    /// How often it may reach one number.
    pub per_number: &'a [Cap],
    /// Key of sender and number in the caps.
    pub key: String,
    /// Messages over it to the number, newest first.
    pub sent: &'a [DateTime<Utc>],
}

/// The kind of a charge for a number by one sender.
pub const NUMBER: &str = "number";

/// A cap to be charged at the crossing: at most `n` instants later than `since` on the row (kind, key), this one included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// `contact`, `account` or `number`.
    pub kind: &'static str,
    /// The id it counts for.
    pub key: String,
    /// Instants after this count.
    pub since: DateTime<Utc>,
    /// How many may be there at the most.
    pub n: i32,
}

/// The verdict on one touch at one moment.
#[derive(Debug)]
pub enum Verdict {
    /// It may go, and charges these caps.
    Clear(Clearance, Vec<Charge>),
    /// Not now.
    Hold(Reason, DateTime<Utc>),
    /// Not at all.
    Skip(Reason),
}

/// Judges one touch. What ends it for good is looked at first, then what only puts it off, the longest-lasting first.
/// `calendar` is that of the person's region.
pub fn judge(
    facts: &Facts<'_>,
    rules: &GateRules,
    calendar: Option<&HolidayCalendar>,
    now: DateTime<Utc>,
) -> Verdict {
    if let Some(reason) = never(facts, rules, now) {
        return Verdict::Skip(reason);
    }
    if facts.brake {
        return Verdict::Hold(Reason::Brake, now + TimeDelta::minutes(5));
    }
    if facts.channel == ChannelKind::Task {
        // Work for a colleague disturbs nobody: no hours, no caps.
        return Verdict::Clear(Clearance::granted(), Vec::new());
    }
    let class = facts.class;
    let heeded = if *rules.business_days_only.of(class) {
        calendar
    } else {
        None
    };
    let window = rules.windows.of(facts.channel).of(class).window();
    let own = facts.carrier.as_ref().and_then(|carrier| carrier.window);
    let opening = |at: DateTime<Utc>, heeded| {
        let open = |at, window: Option<&SendWindow>, heeded| {
            window.map_or(at, |w| next_open(at, facts.zone, w, heeded))
        };
        // Both windows have to be open. Those that never meet are looked at again every few days, until the touch expires.
        (0..8).fold(at, |at, _| open(open(at, window, heeded), own, None))
    };
    let tomorrow = opening(next_day(now, facts.zone, 1), heeded);
    if facts.not_on_list {
        return Verdict::Hold(Reason::Rehearsal, tomorrow);
    }
    if facts.grievance && *rules.held_by_grievance.of(class) {
        return Verdict::Hold(Reason::Grievance, tomorrow);
    }
    if let Some(free) = facts.leave_until.map(|until| day_start(until, facts.zone))
        && now < free
        && *rules.held_by_owner.of(class)
    {
        return Verdict::Hold(Reason::LeaveToMe, opening(free, heeded));
    }
    if opening(now, None) > now {
        return Verdict::Hold(Reason::QuietHours, opening(now, heeded));
    }
    if opening(now, heeded) > now {
        return Verdict::Hold(Reason::Holiday, opening(now, heeded));
    }
    if let Some(until) = facts.sender_paused.filter(|until| now < *until) {
        return Verdict::Hold(Reason::SenderPaused, opening(until, heeded));
    }
    let caps = rules.caps.of(class);
    let mut charges = Vec::new();
    if let (n @ 1.., Some(account)) = (caps.account_per_day, &facts.account) {
        let since = before(day_start(local_date(now, facts.zone), facts.zone));
        if facts.colleague_first || counted(facts.to_account, since) >= n {
            return Verdict::Hold(Reason::Colleague, tomorrow);
        }
        charges.push(Charge {
            kind: "account",
            key: account.clone(),
            since,
            n: n as i32,
        });
    }
    for cap in &caps.contact {
        let since = before(cap_start(cap, now, facts.zone));
        if counted(facts.to_contact, since) >= cap.n {
            let frees = cap_frees(cap, facts.to_contact, now, facts.zone);
            return Verdict::Hold(
                Reason::Cap,
                opening(frees.max(now + TimeDelta::minutes(1)), heeded),
            );
        }
        charges.push(Charge {
            kind: "contact",
            key: facts.contact.clone(),
            since,
            n: cap.n as i32,
        });
    }
    if let Some(carrier) = &facts.carrier {
        for cap in carrier.per_number {
            let since = before(cap_start(cap, now, facts.zone));
            if counted(carrier.sent, since) >= cap.n {
                let frees = cap_frees(cap, carrier.sent, now, facts.zone);
                return Verdict::Hold(
                    Reason::Cap,
                    opening(frees.max(now + TimeDelta::minutes(1)), heeded),
                );
            }
            charges.push(Charge {
                kind: NUMBER,
                key: carrier.key.clone(),
                since,
                n: cap.n as i32,
            });
        }
    }
    Verdict::Clear(Clearance::granted(), charges)
}

/// What forbids the touch for good.
fn never(facts: &Facts<'_>, rules: &GateRules, now: DateTime<Utc>) -> Option<Reason> {
    if !facts.enrolled {
        return Some(Reason::Ended);
    }
    if facts.merged {
        return Some(Reason::Merged);
    }
    if facts.not_fit {
        return Some(Reason::NotFit);
    }
    if facts.lead_closed && facts.class == Class::Marketing {
        return Some(Reason::LeadClosed);
    }
    if now >= facts.expires_at {
        return Some(Reason::Expired);
    }
    if facts.channel == ChannelKind::Task {
        return None;
    }
    match facts.suppressed {
        Some("opted-out") => return Some(Reason::OptedOut),
        Some("spam-report") => return Some(Reason::SpamReport),
        Some("address-bad") => return Some(Reason::AddressBad),
        Some(_) => return Some(Reason::Suppressed),
        None => {}
    }
    if !facts.has_address {
        return Some(Reason::NoAddress);
    }
    if !rules.consent.of(facts.channel, facts.class).allows(facts.consent) {
        return Some(Reason::NoConsent);
    }
    (facts.class == Class::Marketing && facts.preferred_channel == Some("phone"))
        .then_some(Reason::PrefersPhone)
}

fn next_day(now: DateTime<Utc>, zone: Tz, days: u64) -> DateTime<Utc> {
    day_start(local_date(now, zone) + Days::new(days), zone)
}

/// An instant on the edge counts, and the crossing compares with `>`.
fn before(at: DateTime<Utc>) -> DateTime<Utc> {
    at - TimeDelta::microseconds(1)
}

fn counted(ring: &[DateTime<Utc>], since: DateTime<Utc>) -> u32 {
    ring.iter().filter(|at| **at > since).count() as u32
}

fn cap_start(cap: &Cap, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    match cap.per {
        Period::LocalDays(days) => day_start(
            local_date(now, zone) - Days::new(u64::from(days).saturating_sub(1)),
            zone,
        ),
        Period::Sliding(span) => now - span.length(),
    }
}

/// When so many have left the window that one more fits.
fn cap_frees(cap: &Cap, ring: &[DateTime<Utc>], now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let mut newest_first = ring.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    let leaving = newest_first
        .get((cap.n as usize).saturating_sub(1))
        .copied()
        .unwrap_or(now);
    match cap.per {
        Period::LocalDays(days) => next_day(leaving, zone, u64::from(days)),
        Period::Sliding(span) => leaving + span.length(),
    }
}

#[cfg(test)]
mod tests;
