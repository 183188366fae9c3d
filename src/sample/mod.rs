//! The sample company: a generator with a fixed seed.
