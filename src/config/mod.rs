//! Configuration: one plain struct per concern, defaults from the commented TOML compiled in.
