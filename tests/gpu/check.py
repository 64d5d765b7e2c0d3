#!/usr/bin/env python3
"""One training on one GPU and on several, with each `shard` and with `offload`: are the losses the same?

python3 tests/gpu/check.py RBPIPE [--gpus N] [--cpu] [--dtype f32|bf16]

Runs `check.rb2` once for each way, each with a store of its own, and prints a line for each: the largest relative difference of a loss or a gradient
norm from the first way, and the most memory that one GPU had (`--cpu`: that one process had). Ends with 0 if no difference is above the bound. With
`--cpu` ranks are processes without GPUs. Needs RBPIPE with its engine, and nothing of Python but its own library.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Sums of a GPU are added in no fixed order, and twelve steps carry that on; in bf16 a weight's last bit is 1/256 of it.
BOUND = {"f32": 1e-3, "bf16": 3e-2}


def ways(n, device):
    one = {} if device == "ranks" else {device: 1}
    yield "one", one
    yield "one, offload", {**one, "offload": "true"}
    yield "one, offload, zero2", {**one, "offload": "true", "shard": "zero2"}
    yield "one, recompute", {**one, "recompute": "all"}
    for shard in ["none", "zero1", "zero2", "zero3"] if n > 1 else []:
        several = {device: n, "shard": shard}
        yield f"{n}, {shard}", several
        yield f"{n}, {shard}, offload", {**several, "offload": "true"}


def run(rbpipe, options, dtype):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        given = [part for name, value in options.items() for part in ("-w", f"{name}={value}")]
        recipe = (HERE / "check.rb2").read_text().replace("../../", f"{HERE.parent.parent}/")
        (folder / "check.rb2").write_text(recipe)
        command = [rbpipe, "run", folder / "check.rb2", "--events", folder / "events", "-p", f"dtype={dtype}"]
        ran = subprocess.run([*command, *given], env={**os.environ, "RBPIPE_CACHE": str(folder / "store")}, capture_output=True, text=True)
        if ran.returncode:
            return None, None, ran.stderr
        lines = [json.loads(line) for line in (folder / "out/training/log.jsonl").read_text().splitlines()]
        events = [json.loads(line) for line in (folder / "events").read_text().splitlines()]
        event, field = ("node_gpus", "memory") if "gpus" in options else ("node_memory", "bytes")
        memory = [e[field] for e in events if e["event"] == event and e.get("op") == "train.sft"]
        return [(line["loss"], line["grad_norm"]) for line in lines if "loss" in line], max(memory, default=0), ""


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("rbpipe")
    a.add_argument("--gpus", type=int, default=2)
    a.add_argument("--cpu", action="store_true")
    a.add_argument("--dtype", choices=list(BOUND), default="f32")
    a = a.parse_args()
    first, bad = None, 0
    for name, options in ways(a.gpus, "ranks" if a.cpu else "gpus"):
        lines, memory, why = run(a.rbpipe, options, a.dtype)
        if lines is None:
            bad += 1
            print(f"FAILED  {name}\n{why}")
            continue
        first = first or lines
        apart = [abs(x - y) / abs(y) for ours, theirs in zip(lines, first) for x, y in zip(ours, theirs)]
        same = len(lines) == len(first) and max(apart) <= BOUND[a.dtype]
        bad += not same
        print(f"{'ok' if same else 'OFF':7} {name:24} {len(lines)} steps, apart at most {max(apart):.1e}, {memory / 2**20:.0f} MiB", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
