//! Counts the statements that a piece of work sends to the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::instrument::WithSubscriber as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Where sqlx tells of each statement it has run.
const TARGET: &str = "sqlx::query";

struct Counter(Arc<AtomicU64>);

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == TARGET {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Runs a piece of work and says how many statements it ran; begin and commit are not among them.
pub async fn count<T>(work: impl Future<Output = T>) -> (T, u64) {
    let count = Arc::new(AtomicU64::new(0));
    let done = work
        .with_subscriber(tracing_subscriber::registry().with(Counter(count.clone())))
        .await;
    (done, count.load(Ordering::Relaxed))
}
