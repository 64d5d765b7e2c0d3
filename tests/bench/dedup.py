#!/usr/bin/env python3
"""Deduplication beside other tools on the same input, one after the other: processor seconds, wall seconds, peak memory, quality.

python3 tests/bench/dedup.py [--size 100k] [--repeats 2] [--work ~/.cache/rbpipe-peers]

Needs what `tests/bench/peers/setup.sh main` makes (rensa, datasketch, faiss from PyPI); makes the corpora at first.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def measured(command, **env):
    """Runs a command; returns its wall and processor seconds, the peak of its resident memory in MiB, and what it printed."""
    start = time.perf_counter()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **env})
    said = p.stdout.read().decode()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != 0:
        sys.exit(f"{command[:3]} failed with {p.returncode}")
    wall = time.perf_counter() - start
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss // 1024, "said": said}


def best(repeats, run):
    return min((run() for _ in range(repeats)), key=lambda m: m["cpu"])


def quality(python, labels, truth):
    s = json.loads(subprocess.check_output([python, HERE / "peers/score.py", labels, truth]))
    return f"{s['rm_precision']:.4f} | {s['recall_j3_ge_0.7']:.4f}"


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--size", default="100k", choices=["10k", "100k", "500k"])
    a.add_argument("--repeats", type=int, default=2)
    a.add_argument("--work", default=os.path.expanduser("~/.cache/rbpipe-peers"))
    a = a.parse_args()
    work = pathlib.Path(a.work)
    if not (work / "main/bin/python").exists():
        subprocess.check_call(["bash", HERE / "peers/setup.sh", "main"], env={**os.environ, "PEERS_WORK": str(work)})
    python, data, rows = work / "main/bin/python", work / "data" / a.size, int(a.size[:-1]) * 1000
    env = {**os.environ, "PEERS_WORK": str(work)}
    if not (data / "text.jsonl").exists():
        subprocess.check_call([python, HERE / "peers/gen_corpus.py", str(rows), data, "--seed", "7"], env=env)
    vectors, pairs = work / "data/v100k.npy", work / "data/v100k_truth.npz"
    if not vectors.exists():
        subprocess.check_call([python, HERE / "peers/gen_vecs.py", "100000", "384", vectors], env=env)
    subprocess.check_call(["cargo", "build", "--release", "--bin", "rbpipe", "--bench", "kernels"], cwd=ROOT)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    kernels = max((f for f in (target / "deps").glob("kernels-*") if not f.suffix), key=lambda f: f.stat().st_mtime)
    text, truth = data / "text.jsonl", data / "truth.jsonl"

    with tempfile.TemporaryDirectory(dir=work) as tmp:
        tmp = pathlib.Path(tmp)

        def cold():
            shutil.rmtree(tmp / "cache", ignore_errors=True)
            return measured([target / "rbpipe", "run", tmp / "dedup.rb2"], RBPIPE_CACHE=str(tmp / "cache"))

        shutil.copy(HERE / "dedup.rb2", tmp)
        (tmp / "text.jsonl").symlink_to(text)
        print(f"| near-duplicates among {rows:,} texts | CPU s | wall s | peak MiB | CPU ratio | precision | recall at Jaccard 0.7 |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        labels = tmp / "labels"
        kernel = best(a.repeats, lambda: measured([kernels, "--bench", "minhash", text, labels]))
        ours = json.loads(kernel["said"])
        marks = quality(python, labels, truth)
        run = best(a.repeats, cold)
        print(f"| rbpipe, kernel alone | {ours['cpu_s']:.2f} | {ours['wall_s']:.2f} | | | {marks} |")
        print(f"| `rbpipe run`, cold, JSON lines to JSON lines | {run['cpu']:.2f} | {run['wall']:.2f} | {run['mib']} | 1.0 | {marks} |")
        for name, script in [("rensa (R-MinHash)", ["peer_rensa.py"]), ("datasketch (xxh)", ["peer_datasketch.py", "--hash", "xxh"])]:
            command = [python, HERE / "peers" / script[0], text, labels, *script[1:]]
            m = best(a.repeats, lambda: measured(command, PYTHONPATH=str(HERE / "peers")))
            ratio = m["cpu"] / run["cpu"]
            print(f"| {name} | {m['cpu']:.2f} | {m['wall']:.2f} | {m['mib']} | {ratio:.1f} | {quality(python, labels, truth)} |")

    print("\n| pairs at cosine 0.95 among 100,000 x 384 | CPU s | wall s | CPU ratio | pairs | pair recall |")
    print("|---|---:|---:|---:|---:|---:|")
    ours = min((json.loads(measured([kernels, "--bench", "knn", vectors, "0.95"])["said"]) for _ in range(a.repeats)), key=lambda m: m["cpu_s"])
    total = None
    rows = []
    for method in ["brute", "faiss_ivf", "hnswlib"]:
        said = measured([python, HERE / "peers/peer_knn.py", method, vectors, pairs])["said"]
        m = json.loads(said.strip().splitlines()[-1])
        total = total or m["true_pairs"]
        rows.append(f"| {method}, one thread | {m['cpu_s']} | {m['wall_s']} | {m['cpu_s'] / ours['cpu_s']:.1f} | {m['pairs']} | {m['pair_recall']} |")
    print(f"| rbpipe, exact | {ours['cpu_s']:.2f} | {ours['wall_s']:.2f} | 1.0 | {ours['pairs']} | {ours['pairs'] / total:.4f} |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
