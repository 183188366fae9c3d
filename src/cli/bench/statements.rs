//! The statements that a piece of work sends to the database: how many, and how long each took.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Where sqlx tells of each statement it has run,
const TARGET: &str = "sqlx::query";
/// and what it calls the seconds that one took.
const SECONDS: &str = "elapsed_secs";

type Times = Arc<Mutex<Vec<Duration>>>;

struct Watch(Times);

impl<S: Subscriber> Layer<S> for Watch {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == TARGET {
            let mut took = Took::default();
            event.record(&mut took);
            let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            times.push(took.0);
        }
    }
}

#[derive(Default)]
struct Took(Duration);

impl Visit for Took {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == SECONDS {
            self.0 = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// Runs a piece of work and says how long each of its statements took; begin and commit are not among them.
pub async fn times<T>(work: impl Future<Output = T>) -> (T, Vec<Duration>) {
    let times = Times::default();
    let done = work
        .with_subscriber(tracing_subscriber::registry().with(Watch(times.clone())))
        .await;
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    (done, std::mem::take(&mut times))
}
