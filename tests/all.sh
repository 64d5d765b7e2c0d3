#!/usr/bin/env bash
# All tests, each once, from a clean clone: those that need no tensor engine, then those that do.
# Needs Rust, a C++ compiler, python3 with pip, and the package registries. Prints the time of each lane.
set -euo pipefail
cd "$(dirname "$0")/.."
export NO_COLOR=1 CARGO_TERM_COLOR=never RUST_BACKTRACE=0

lane() { # lane NAME COMMAND…: runs a command and prints how long it took
  local name=$1 start=$SECONDS; shift
  echo "== $name"
  "$@"
  echo "== $name: $((SECONDS - start)) s"
}

browser() { # the report page is opened in a real one
  command -v chromium > /dev/null || apt-get install -y chromium > /dev/null 2>&1 || echo "SKIPPED: no Chromium, the report page stays unopened"
}

lane "format" cargo fmt --check
lane "browser" browser
lane "light build" cargo build --release --bins
lane "light tests" cargo test --release
lane "rbpipe needs no libtorch" bash -c '! readelf -d target/release/rbpipe | grep -i torch'
lane "recipes type-check" target/release/rbpipe check recipes/base.rb2 recipes/clean.rb2 recipes/curate.rb2 recipes/final.rb2 recipes/first.rb2 recipes/smollm2.rb2 recipes/lib/tabletop.rb2 tests/gpu/check.rb2 tests/gpu/large.rb2
lane "editor extension" tests/extension.sh
lane "recipe runs" target/release/rbpipe run recipes/clean.rb2
lane "second run executes nothing" target/release/rbpipe run recipes/clean.rb2 --no-exec
lane "engine build" target/release/rbpipe engine install
lane "goldens" target/release/rbpipe engine verify tests/goldens/dev
lane "a first model" target/release/rbpipe run recipes/first.rb2
lane "nothing of it runs twice" target/release/rbpipe run recipes/first.rb2 --no-exec
LIBTORCH="${LIBTORCH:-$HOME/.cache/rbpipe/libtorch-2.13.0/torch}"; export LIBTORCH
lane "tests of the engine" cargo test --release --features torch -- tensor:: # the others have run
