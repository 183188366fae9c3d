//! The program: everything is in the library.

use std::process::ExitCode;

/// Rendering and sending make many small pieces; this allocator takes a sixth of the processor time of a mail away.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kith::cli::main()
}
