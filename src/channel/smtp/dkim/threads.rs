//! The threads that sign.
//!
//! An RSA signature takes a good part of a millisecond, too long for the few threads that serve every connection. The
//! runtime's own blocking pool would start a thread for every mail that waits; these are as many as there are cores,
//! at most four, and the mails wait for them instead.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::key::DkimKey;
use super::signature::sign;

/// Most threads.
const MOST: usize = 4;

struct Job {
    mail: Vec<u8>,
    keys: Vec<Arc<DkimKey>>,
    signed: oneshot::Sender<Result<String, String>>,
}

/// The threads; they end when this is dropped.
#[derive(Debug)]
pub(super) struct SigningThreads {
    // Without a bound: who asks waits for the answer, so there are no more jobs than attempts under way.
    jobs: mpsc::Sender<Job>,
}

impl SigningThreads {
    /// Starts them. The error is the system's.
    pub(super) fn start() -> Result<Self, String> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for n in 0..thread::available_parallelism().map_or(1, |n| n.get().min(MOST)) {
            let queue = queue.clone();
            thread::Builder::new()
                .name(format!("dkim-{n}"))
                .spawn(move || work(&queue))
                .map_err(|error| format!("no thread for signing: {error}"))?;
        }
        Ok(Self { jobs })
    }

    /// The signatures of a mail, ready to stand before it.
    pub(super) async fn sign(&self, mail: &[u8], keys: Vec<Arc<DkimKey>>) -> Result<String, String> {
        let (signed, answer) = oneshot::channel();
        let job = Job {
            mail: mail.to_vec(),
            keys,
            signed,
        };
        let gone = || "the threads that sign are gone".to_owned();
        self.jobs.send(job).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else {
            return;
        };
        // An attempt that was cancelled needs no signature.
        if job.signed.is_closed() {
            continue;
        }
        let keys: Vec<&DkimKey> = job.keys.iter().map(AsRef::as_ref).collect();
        let _ = job.signed.send(sign(&job.mail, &keys));
    }
}
