//! Business time: the system's clock, or one moved by hand.
