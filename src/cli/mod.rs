//! The command line: one file per subcommand, its options and its run.

pub mod import;
