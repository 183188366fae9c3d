//! A simulated audience that opens, clicks, replies, buys, complains and opts out at stated rates.
