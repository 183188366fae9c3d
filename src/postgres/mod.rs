//! The embedded Postgres used when no database is configured.
