//! The crossing in groups: attempts that are ready wait for each other a moment and cross in one transaction.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::channel::{Crossed, Crossing};
use crate::domain::gate::Charge;
use crate::engine::Deps;
use crate::engine::journal::trail::Mark;
use crate::engine::pace::{self, Pass};
use crate::store::crossing::{self, Member};
use crate::store::queue::{ClaimedTouch, Incarnation};

/// A group is closed at this many members,
const GROUP: usize = 64;
/// or when nobody new came for this long. Without the linger groups shrink to a few members when CPU is short.
const LINGER: Duration = Duration::from_millis(1);

struct Request {
    owner: Incarnation,
    member: Member,
    mark: Mark,
    pass: Option<Pass>,
    /// When it asked the database, and so when it crosses, if it does.
    asked: Arc<OnceLock<DateTime<Utc>>>,
    /// Whether it may go.
    answer: oneshot::Sender<bool>,
}

impl Request {
    fn is_in_time(&self, now: DateTime<Utc>) -> bool {
        self.pass.as_ref().is_none_or(|pass| !pass.is_late(now))
    }
}

/// Takes requests to cross and answers them in groups.
#[derive(Clone)]
pub struct Crosser {
    deps: Arc<Deps>,
    requests: mpsc::Sender<Request>,
}

impl Crosser {
    /// Starts the task that decides; it ends when the last handle is dropped.
    pub fn start(deps: Arc<Deps>) -> Self {
        let (requests, inbox) = mpsc::channel(GROUP * 4);
        tokio::spawn(serve(deps.clone(), inbox));
        Self { deps, requests }
    }

    /// The right to ask for one touch.
    pub fn ticket(&self, touch: &ClaimedTouch, charges: Vec<Charge>, pass: Option<Pass>) -> Ticket {
        Ticket {
            crosser: self.clone(),
            owner: touch.owner(),
            pass,
            asked: Arc::default(),
            went: OnceLock::new(),
            member: Member {
                touch_id: touch.id(),
                charges,
            },
            mark: Mark {
                message: touch.message_id,
                touch: touch.id(),
                enrollment: touch.enrollment_id,
                contact: touch.contact_id,
                cadence: touch.cadence.clone(),
                step: touch.step_key.clone(),
                channel: touch.channel.clone(),
                class: touch.class,
            },
        }
    }
}

/// The right of one attempt to ask.
pub struct Ticket {
    crosser: Crosser,
    owner: Incarnation,
    member: Member,
    mark: Mark,
    pass: Option<Pass>,
    asked: Arc<OnceLock<DateTime<Utc>>>,
    went: OnceLock<Instant>,
}

impl Ticket {
    /// When the attempt crossed, as the database has it, if it did; `None` = it surely did not.
    pub fn asked_at(&self) -> Option<DateTime<Utc>> {
        self.asked.get().copied()
    }

    /// When the attempt was let go: its dot follows at once. `None` = it was not.
    pub fn went_at(&self) -> Option<Instant> {
        self.went.get().copied()
    }
}

impl Crossing for Ticket {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        Box::pin(async move {
            let began = Instant::now();
            let (answer, verdict) = oneshot::channel();
            let request = Request {
                owner: self.owner,
                member: self.member.clone(),
                mark: self.mark.clone(),
                pass: self.pass.clone(),
                asked: self.asked.clone(),
                answer,
            };
            if self.crosser.requests.send(request).await.is_err() {
                return Crossed::Stop;
            }
            let may_go = verdict.await.unwrap_or(false);
            metrics::histogram!("kith_crossing_seconds").record(began.elapsed());
            if !may_go {
                return Crossed::Stop;
            }
            match self.crosser.deps.journal.going(self.mark.message) {
                Ok(()) => {
                    let _ = self.went.set(Instant::now());
                    Crossed::Go
                }
                Err(error) => {
                    tracing::error!(%error, "what cannot be noted in the trail is not sent");
                    Crossed::Stop
                }
            }
        })
    }
}

async fn serve(deps: Arc<Deps>, mut inbox: mpsc::Receiver<Request>) {
    let mut waiting: VecDeque<Request> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match inbox.recv().await {
                Some(request) => waiting.push_back(request),
                None => return,
            }
        }
        while waiting.len() < GROUP {
            match tokio::time::timeout(LINGER, inbox.recv()).await {
                Ok(Some(request)) => waiting.push_back(request),
                Ok(None) | Err(_) => break,
            }
        }
        let group = next_group(&mut waiting);
        decide(&deps, group).await;
    }
}

/// The next members of one owner whose caps do not meet: two who count on one row must not share a group, it would count
/// them once. Nor do two attempts at one touch, of which one alone may go. An attempt that was given up meanwhile must not
/// cross any more.
fn next_group(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let mut taken: HashSet<(&'static str, String)> = HashSet::new();
    let (mut group, mut later) = (Vec::<Request>::new(), VecDeque::new());
    for request in waiting.drain(..).filter(|request| !request.answer.is_closed()) {
        let keys: HashSet<_> = request
            .member
            .charges
            .iter()
            .map(|c| (c.kind, c.key.clone()))
            .collect();
        let fits = group.first().is_none_or(|first| first.owner == request.owner)
            && group
                .iter()
                .all(|other| other.member.touch_id != request.member.touch_id);
        if fits && group.len() < GROUP && taken.is_disjoint(&keys) {
            taken.extend(keys);
            group.push(request);
        } else {
            later.push_back(request);
        }
    }
    *waiting = later;
    group
}

async fn decide(deps: &Deps, group: Vec<Request>) {
    let now = deps.clock.now();
    let paced: Vec<&Pass> = group.iter().filter_map(|r| r.pass.as_ref()).collect();
    if let Err(error) = pace::renew(deps, &paced, now).await {
        tracing::warn!(%error, "no new grants for attempts that took long");
    }
    let asking: Vec<&Request> = group.iter().filter(|r| r.is_in_time(now)).collect();
    let passed = match cross(deps, &asking, now).await {
        Ok(passed) => passed,
        Err(error) => {
            // What cannot be recorded must not be sent.
            tracing::warn!(%error, members = asking.len(), "the crossing could not be recorded");
            Vec::new()
        }
    };
    if !passed.is_empty() {
        let marks = group
            .iter()
            .filter(|request| passed.contains(&request.member.touch_id))
            // Who has given up meanwhile sends nothing, and may have said so in the trail already.
            .filter(|request| !request.answer.is_closed())
            .map(|request| request.mark.clone())
            .collect();
        if let Err(error) = deps.journal.crossed(marks, now).await {
            // The database has it; what is missing is only the second memory.
            tracing::error!(%error, "the trail of the crossings could not be written");
        }
    }
    let mut given_up = Vec::new();
    for request in group {
        let may_go = passed.contains(&request.member.touch_id) && request.is_in_time(deps.clock.now());
        // The attempt may have been given up meanwhile; its row then ends as withdrawn or uncertain.
        if request.answer.send(may_go).is_err() {
            given_up.push((request.mark.message, request.asked.get().copied()));
        }
    }
    if let Err(error) = deps.journal.given_up(&given_up) {
        tracing::error!(%error, "the trail of the crossings could not be written");
    }
}

/// Lets a group of one owner cross. Returns the touches that did.
async fn cross(deps: &Deps, asking: &[&Request], now: DateTime<Utc>) -> anyhow::Result<Vec<Uuid>> {
    let Some(first) = asking.first() else {
        return Ok(Vec::new());
    };
    let messages = asking.iter().map(|request| request.mark.message).collect();
    deps.journal.asking(messages, now)?;
    for request in asking {
        let _ = request.asked.set(now);
    }
    let members: Vec<Member> = asking.iter().map(|request| request.member.clone()).collect();
    let mut conn = deps.pool.acquire().await?;
    Ok(crossing::cross(&mut conn, first.owner, &members, now).await?)
}
