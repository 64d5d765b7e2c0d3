#!/usr/bin/env python3
"""Training and generation beside `transformers` with the same weights, batch and libtorch, one after the other on one thread.

python3 tests/bench/train.py [--steps 10] [--tokens 64] [--dtype fp32,bf16] [--mode train,decode] [--work ~/.cache/rbpipe-peers] [--python PYTHON]

Needs an engine's libtorch in $LIBTORCH; installs torch and transformers for the peer unless --python has them. Prints tables in Markdown.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEER = HERE / "peers/train_hf.py"


def said(command, env):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, env=env)
    if done.returncode != 0:
        sys.exit(f"{command[:4]} failed with {done.returncode}")
    return json.loads(done.stdout.decode().splitlines()[-1])


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--steps", type=int, default=10)
    a.add_argument("--tokens", type=int, default=64)
    a.add_argument("--dtype", default="fp32,bf16")
    a.add_argument("--mode", default="train,decode")
    a.add_argument("--work", default=os.path.expanduser("~/.cache/rbpipe-peers"))
    a.add_argument("--python")
    a.add_argument("--speed", help="a compiled bench `speed`, if it is there already")
    a = a.parse_args()
    work = pathlib.Path(a.work)
    python = a.python
    if not python:
        subprocess.check_call(["bash", HERE / "peers/setup.sh", "train"], env={**os.environ, "PEERS_WORK": str(work)})
        python = work / "train/bin/python"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": os.environ["LIBTORCH"] + "/lib"}
    model = work / "train-model"
    if not (model / "batch.json").exists():
        subprocess.check_call([python, PEER, "--make", model])
    speed = a.speed
    if not speed:
        subprocess.check_call(["cargo", "build", "--release", "--features", "torch", "--bench", "speed"], cwd=ROOT)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/deps"
        speed = max((f for f in target.glob("speed-*") if not f.suffix), key=lambda f: f.stat().st_mtime)

    def ours(mode, dtype):
        return said([speed, mode, model, model / "batch.json", dtype, a.steps if mode == "train" else a.tokens], env)

    def theirs(mode, dtype, *more):
        peer = [python, PEER, "--model", model, "--batch", model / "batch.json", "--mode", mode, "--dtype", dtype]
        peer += ["--threads", "1", "--steps", a.steps, "--new-tokens", a.tokens, *more]
        plain = {k: v for k, v in env.items() if k != "LD_LIBRARY_PATH"}
        return said(peer, plain)[mode] if mode == "train" else said(peer, plain)

    if "train" in a.mode:
        print("| training | CPU s a step, median | tokens per CPU s | ratio | peak MiB | first and last loss |\n|---|---:|---:|---:|---:|---|")
        for dtype in a.dtype.split(","):
            rows = [("rbpipe", ours("train", dtype)), ("transformers", theirs("train", dtype))]
            rows.append(("transformers, patches by a matrix product", theirs("train", dtype, "--patch-linear")))
            for name, r in rows:
                ratio = rows[0][1]["tokens_per_cpu_s"] / r["tokens_per_cpu_s"]
                print(f"| {name}, {dtype} | {r['step_cpu_s_median']:.2f} | {r['tokens_per_cpu_s']:.0f} | {ratio:.2f} | {r['peak_rss_mib']} "
                      f"| {r['losses'][0]:.4f}, {r['losses'][-1]:.4f} |", flush=True)
            apart = max(abs(x - y) / y for x, y in zip(rows[0][1]["losses"], rows[1][1]["losses"]))
            print(f"\nLosses of {dtype} are apart by at most {apart:.1e}.\n", flush=True)
    if "decode" in a.mode:
        print("| greedy decoding | batch | tokens per CPU s | ratio | peak MiB |\n|---|---:|---:|---:|---:|")
        for dtype in a.dtype.split(","):
            mine, peer = ours("decode", dtype), theirs("decode", dtype)
            for batch in ["1", "8"]:
                best = mine[batch]["decode_tokens_per_cpu_s"]
                for name, r, mib in [("rbpipe", mine[batch], mine["peak_rss_mib"]), ("transformers", peer["decode"][batch], peer["peak_rss_mib_all"])]:
                    print(f"| {name}, {dtype} | {batch} | {r['decode_tokens_per_cpu_s']:.1f} | {best / r['decode_tokens_per_cpu_s']:.2f} | {mib} |", flush=True)
            same = all(mine[b]["first8"] == peer["decode"][b]["first8"] for b in ["1", "8"])
            print(f"\nThe first tokens of {dtype} are {'the same' if same else 'NOT the same'}.\n", flush=True)


if __name__ == "__main__":
    main()
