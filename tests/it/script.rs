//! A way out that answers by a list, and accepts what comes after it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use kith::channel::{BuiltEmail, BuiltMessage, Channel, Crossed, Crossing, SendOutcome};
use kith::domain::gate::Clearance;

/// The list, and every mail that crossed.
#[derive(Clone, Default)]
pub struct Script {
    answers: Arc<Mutex<VecDeque<SendOutcome>>>,
    seen: Arc<Mutex<Vec<BuiltEmail>>>,
}

impl Script {
    /// Answers these one by one.
    pub fn answering(answers: impl IntoIterator<Item = SendOutcome>) -> Self {
        let script = Self::default();
        script.answers.lock().unwrap().extend(answers);
        script
    }

    /// The mails so far, in order.
    pub fn seen(&self) -> Vec<BuiltEmail> {
        self.seen.lock().unwrap().clone()
    }

    /// The bytes of the mails so far, in order.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        self.seen().into_iter().map(|mail| mail.bytes).collect()
    }
}

impl Channel for Script {
    fn send<'a>(
        &'a self,
        _clearance: Clearance,
        message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome> {
        Box::pin(async move {
            let BuiltMessage::Email(mail) = message else {
                panic!("only mails here")
            };
            if crossing.cross().await == Crossed::Stop {
                return SendOutcome::NotCrossed;
            }
            self.seen.lock().unwrap().push(mail.clone());
            let answer = self.answers.lock().unwrap().pop_front();
            answer.unwrap_or(SendOutcome::Accepted {
                reply: "250 taken".to_owned(),
            })
        })
    }
}
