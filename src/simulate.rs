//! A simulated audience that opens, clicks, replies, buys, complains and opts out at stated rates.
//!
//! Every chance is a hash of (seed, external id, cadence, step, question), never of order or of a generated id, so that one
//! connection or eight give the same answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::chance;
use crate::engine::dispatch::Dispatcher;
use crate::engine::ingest::{self, Incoming};
use crate::engine::{Deps, next_due, run_until_idle};
use crate::store::simulation::{self, Arrived};

/// Chances per message that arrived, unless said otherwise. Invented, in the order of magnitude of usual figures.
pub mod rates {
    /// A mail bounces for good.
    pub const BOUNCE: f64 = 0.004;
    /// A machine fetches the pixel at once.
    pub const MACHINE_OPEN: f64 = 0.10;
    /// A person opens a mail.
    pub const OPEN: f64 = 0.45;
    /// Who opened clicks.
    pub const CLICK: f64 = 0.30;
    /// A mail is answered.
    pub const REPLY: f64 = 0.08;
    /// A text message is answered.
    pub const SMS_REPLY: f64 = 0.05;
    /// The person is away, and his mailbox says so.
    pub const AUTO_REPLY: f64 = 0.03;
    /// The person wants no more.
    pub const OPT_OUT: f64 = 0.012;
    /// The person reports spam.
    pub const SPAM: f64 = 0.002;
    /// A customer who is to be won back buys.
    pub const WIN_BACK: f64 = 0.10;
    /// An A lead that is closely followed buys.
    pub const CLOSE: f64 = 0.06;
    /// A rep does the task and writes the call down.
    pub const TASK_DONE: f64 = 0.85;
}

/// The least that time moves on, so that a day full of due times is not a day full of rounds.
const STEP: TimeDelta = TimeDelta::minutes(5);

/// What somebody is going to do.
#[derive(Debug, Clone)]
enum Act {
    Event(Incoming),
    TaskDone(Uuid, String),
    Settle(String),
}

/// Plays time: the engine does what is due, and the audience answers.
pub struct Simulation {
    deps: Arc<Deps>,
    dispatcher: Dispatcher,
    seed: u64,
    to_come: BTreeMap<(DateTime<Utc>, String), Act>,
    seen: BTreeSet<Uuid>,
    seen_since: DateTime<Utc>,
}

impl Simulation {
    /// Starts at the clock's present.
    pub fn new(deps: Arc<Deps>, seed: u64) -> Self {
        let seen_since = deps.clock.now();
        let dispatcher = Dispatcher::new(deps.clone());
        Self {
            deps,
            dispatcher,
            seed,
            to_come: BTreeMap::new(),
            seen: BTreeSet::new(),
            seen_since,
        }
    }

    /// Plays until `target`; `tick` is told each instant that was played.
    pub async fn play(&mut self, target: DateTime<Utc>, mut tick: impl FnMut(DateTime<Utc>)) -> Result<()> {
        loop {
            let now = self.deps.clock.now();
            self.settle_down(now).await?;
            tick(now);
            if now >= target {
                return Ok(());
            }
            let act = self.to_come.keys().next().map(|(at, _)| *at);
            let due = next_due(&self.deps, now).await?;
            let next = [act, due, Some(target)]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(target);
            self.deps.clock.set(next.max(now + STEP).min(target))?;
        }
    }

    /// Does what is due at `now`, as often as an answer makes something else due.
    pub async fn settle_down(&mut self, now: DateTime<Utc>) -> Result<()> {
        loop {
            let acted = self.act(now).await?;
            let done = run_until_idle(&self.deps, &mut self.dispatcher, now).await?;
            self.listen().await?;
            if acted == 0 && done == 0 {
                return Ok(());
            }
        }
    }

    /// What is to happen by `now` happens, in order of time.
    async fn act(&mut self, now: DateTime<Utc>) -> Result<usize> {
        let later = self
            .to_come
            .split_off(&(now + TimeDelta::microseconds(1), String::new()));
        let due = std::mem::replace(&mut self.to_come, later);
        let acted = due.len();
        let mut events = Vec::new();
        for ((at, _), act) in due {
            match act {
                Act::Event(event) => events.push(event),
                Act::TaskDone(touch, outcome) => {
                    let mut conn = self.deps.pool.acquire().await?;
                    simulation::tasks_done(&mut conn, &[touch], &outcome, at).await?;
                }
                Act::Settle(external_id) => {
                    let mut conn = self.deps.pool.acquire().await?;
                    simulation::grievance_settled(&mut conn, &external_id, at).await?;
                }
            }
        }
        for chunk in events.chunks(ingest::MOST) {
            ingest::accept(&self.deps, "simulation", chunk.to_vec(), now).await?;
        }
        Ok(acted)
    }

    /// Looks at what arrived since the last time and decides what comes of it.
    async fn listen(&mut self) -> Result<()> {
        let arrived = {
            let mut conn = self.deps.pool.acquire().await?;
            simulation::arrived(&mut conn, self.seen_since).await?
        };
        for message in arrived {
            if message.at > self.seen_since {
                self.seen_since = message.at;
                self.seen.clear();
            }
            if self.seen.insert(message.id) {
                Reader {
                    seed: self.seed,
                    message: &message,
                    to_come: &mut self.to_come,
                }
                .read();
            }
        }
        Ok(())
    }
}

/// One person with one message.
struct Reader<'a> {
    seed: u64,
    message: &'a Arrived,
    to_come: &'a mut BTreeMap<(DateTime<Utc>, String), Act>,
}

impl Reader<'_> {
    fn draw(&self, question: &str) -> f64 {
        let m = self.message;
        chance::draw(
            self.seed,
            &[
                &m.external_id,
                &m.cadence,
                &m.step_key,
                &m.at.date_naive().to_string(),
                question,
            ],
        )
    }

    fn happens(&self, question: &str, rate: f64) -> bool {
        self.draw(question) < rate
    }

    /// An instant between the two delays after the message, in whole seconds.
    fn after(&self, question: &str, from: TimeDelta, to: TimeDelta) -> DateTime<Utc> {
        let spread = (to - from).num_seconds() as f64 * self.draw(&format!("{question}:when"));
        self.message.at + from + TimeDelta::seconds(spread as i64)
    }

    fn will(&mut self, at: DateTime<Utc>, word: &str, act: Act) {
        let m = self.message;
        self.to_come.insert(
            (
                at,
                format!("{}:{}:{}:{word}", m.external_id, m.cadence, m.step_key),
            ),
            act,
        );
    }

    fn event(&mut self, at: DateTime<Utc>, kind: &str, human: bool, data: Value) {
        let m = self.message;
        let incoming = Incoming {
            id: format!("{}:{kind}:{at}", m.id),
            event_type: kind.to_owned(),
            at: Some(at),
            contact: None,
            message: Some(m.id),
            data,
            human,
        };
        self.will(at, kind, Act::Event(incoming));
    }

    fn read(&mut self) {
        match self.message.channel.as_str() {
            "email" => self.read_mail(),
            "sms" => self.read_sms(),
            _ => self.do_task(),
        }
    }

    fn read_mail(&mut self) {
        if self.happens("bounce", rates::BOUNCE) {
            let at = self.message.at + TimeDelta::minutes(2);
            self.event(at, "bounced", false, json!({ "class": "hard" }));
            return;
        }
        if self.happens("machine", rates::MACHINE_OPEN) {
            self.event(
                self.message.at + TimeDelta::seconds(4),
                "opened",
                false,
                json!({}),
            );
        }
        if self.happens("away", rates::AUTO_REPLY) {
            self.event(
                self.message.at + TimeDelta::minutes(1),
                "auto_replied",
                false,
                json!({}),
            );
        }
        if self.happens("open", rates::OPEN) {
            let opened = self.after("open", TimeDelta::minutes(5), TimeDelta::hours(30));
            self.event(opened, "opened", true, json!({}));
            if !self.message.tags.is_empty() && self.happens("click", rates::CLICK) {
                let pick = (self.draw("link") * self.message.tags.len() as f64) as usize;
                let tag = self.message.tags[pick.min(self.message.tags.len() - 1)].clone();
                self.event(
                    opened + TimeDelta::minutes(2),
                    "clicked",
                    true,
                    json!({ "tag": tag }),
                );
            }
            if self.happens("opt-out", rates::OPT_OUT) {
                self.event(
                    opened + TimeDelta::minutes(3),
                    "opted_out",
                    true,
                    json!({ "channel": "email" }),
                );
            } else if self.happens("spam", rates::SPAM) {
                self.event(opened + TimeDelta::minutes(3), "spam_report", true, json!({}));
            }
        }
        if self.happens("reply", rates::REPLY) {
            self.reply(TimeDelta::hours(1), TimeDelta::hours(40));
        }
        self.buy();
    }

    fn read_sms(&mut self) {
        if self.happens("opt-out", rates::OPT_OUT) {
            let at = self.after("opt-out", TimeDelta::minutes(1), TimeDelta::hours(5));
            self.event(at, "opted_out", true, json!({ "channel": "sms" }));
        } else if self.happens("reply", rates::SMS_REPLY) {
            self.reply(TimeDelta::minutes(2), TimeDelta::hours(8));
        }
    }

    /// A reply with what it says; the words are a reader's, the intent is what a reading would find.
    fn reply(&mut self, from: TimeDelta, to: TimeDelta) {
        let care = self.message.cadence.contains("birthday");
        let draw = self.draw("intent");
        let (intent, text) = match draw {
            _ if care && draw < 0.92 => ("thanks", "Thank you, that is kind of you."),
            d if d < 0.26 => ("interested", "This looks useful, tell me more."),
            d if d < 0.38 => ("price", "What would it cost for a team of ours?"),
            d if d < 0.46 => ("comparing", "We are comparing three vendors at the moment."),
            d if d < 0.52 => ("meeting", "Could somebody call us on Thursday?"),
            d if d < 0.64 => ("waiting", "When the budget is through, in two months or so."),
            d if d < 0.78 => ("not_now", "Not this year, perhaps next."),
            d if d < 0.86 => ("competitor", "We have just signed with another vendor."),
            d if d < 0.90 => ("grievance", "The last delivery was late and nobody answered us."),
            d if d < 0.93 => ("wrong_person", "I am not in charge of this any more."),
            _ => ("thanks", "Thank you."),
        };
        let at = self.after("reply", from, to);
        self.event(at, "replied", true, json!({ "intent": intent, "text": text }));
        if intent == "grievance" {
            let who = self.message.external_id.clone();
            self.will(at + TimeDelta::days(2), "settled", Act::Settle(who));
        }
    }

    fn buy(&mut self) {
        let rate = match self.message.cadence.as_str() {
            "win-back" => rates::WIN_BACK,
            "a-close-in" => rates::CLOSE,
            _ => return,
        };
        if self.happens("buy", rate) {
            let at = self.after("buy", TimeDelta::days(1), TimeDelta::days(9));
            let amount = 2000 + (self.draw("amount") * 48_000.0) as i64;
            self.event(
                at,
                "purchase",
                true,
                json!({ "amount": amount.to_string(), "product": "follow-up order" }),
            );
        }
    }

    fn do_task(&mut self) {
        if !self.happens("task", rates::TASK_DONE) {
            return;
        }
        let at = self.after("task", TimeDelta::hours(1), TimeDelta::hours(9));
        let draw = self.draw("call");
        let outcome = match draw {
            d if d < 0.45 => "interested",
            d if d < 0.65 => "not_now",
            d if d < 0.75 => "not_interested",
            _ => "no_answer",
        };
        self.event(at, "call", true, json!({ "outcome": outcome }));
        let touch = self.message.touch_id;
        self.will(at, "done", Act::TaskDone(touch, outcome.to_owned()));
        self.buy();
    }
}
