#!/bin/sh
# Stands for rbpipe-engine (`RBPIPE_ENGINE`): trainings are started by torchrun, as so many ranks as RBPIPE_RANKS says, all else as usual.
# ENGINE names the real one. What rank 0 says goes on to the scheduler.
set -eu
if [ $# = 1 ] && grep -q '"op":"train\.\(sft\|dpo\|reward\)"' "$1" 2> /dev/null; then
  exec torchrun --no-python --nproc-per-node "$RBPIPE_RANKS" --local-ranks-filter 0 "$ENGINE" "$1"
fi
exec "$ENGINE" "$@"
