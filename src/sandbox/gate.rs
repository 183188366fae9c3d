//! A gate that holds a server at one point until a test opens it or kills the link.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds whoever comes to it. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    position: Arc<watch::Sender<Position>>,
    waiting: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Shut,
    Open,
    Killed,
}

/// How a wait at a gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// Go on.
    Open,
    /// Drop the link.
    Killed,
}

impl Gate {
    /// A shut gate.
    #[must_use]
    pub fn shut() -> Self {
        Self {
            position: Arc::new(watch::Sender::new(Position::Shut)),
            waiting: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.position.send_replace(Position::Open);
    }

    /// Drops the link of everybody who waits or will come.
    pub fn kill(&self) {
        self.position.send_replace(Position::Killed);
    }

    /// Resolves when `count` have come to the gate in all.
    pub async fn arrived(&self, count: u64) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.waiting.subscribe().wait_for(|seen| *seen >= count).await;
    }

    /// Waits at the gate.
    pub async fn pass(&self) -> Passed {
        self.waiting.send_modify(|seen| *seen += 1);
        let mut position = self.position.subscribe();
        match position.wait_for(|at| *at != Position::Shut).await.map(|at| *at) {
            Ok(Position::Open) => Passed::Open,
            _ => Passed::Killed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_holds_until_opened_and_counts_arrivals() {
        let gate = Gate::shut();
        let other = gate.clone();
        let held = tokio::spawn(async move { other.pass().await });
        gate.arrived(1).await;
        assert!(!held.is_finished());
        gate.open();
        assert_eq!(held.await.unwrap(), Passed::Open);
    }

    #[tokio::test]
    async fn a_killed_gate_says_so() {
        let gate = Gate::shut();
        gate.kill();
        assert_eq!(gate.pass().await, Passed::Killed);
    }
}
