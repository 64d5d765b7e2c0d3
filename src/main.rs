//! The binary `rbpipe`: everything is in `cli`.

fn main() -> std::process::ExitCode {
    rbpipe::cli::run()
}
