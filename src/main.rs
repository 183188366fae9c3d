//! The program: everything is in the library.

use std::process::ExitCode;

/// A mail takes some hundreds of small pieces of memory: this allocator has them for a third of the system's processor time.
/// How it is set up is in `.cargo/config.toml`.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    kith::cli::main()
}
