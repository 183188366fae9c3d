//! The gate: whether a touch may go out now, and if not, why and when to look again.

/// Proof that the gate was passed for one touch. Only the gate makes one; `Channel::send` asks for it.
#[derive(Debug)]
pub struct Clearance {
    _proof: (),
}

impl Clearance {
    /// Made by the gate only.
    pub(super) fn granted() -> Self {
        Self { _proof: () }
    }

    /// For a message an operator sends by hand to an address of his own (`kith send-test`), where there is no touch to judge.
    pub fn by_operator() -> Self {
        Self::granted()
    }
}
