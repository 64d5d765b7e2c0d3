//! The binary `rbpipe`: everything is in `cli`.

/// Compiling and a run with nothing to do are mostly small allocations, which this does in two thirds of the time of glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rbpipe::cli::run()
}
