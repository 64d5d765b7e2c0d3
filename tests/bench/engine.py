#!/usr/bin/env python3
"""The engine under load, from outside: kills, many nodes beside Snakemake and DVC, eight processes on one store, an artifact of gigabytes.

python3 tests/bench/engine.py kills [--kills 1000] | nodes [--nodes 10000] [--peers 1000] | eight | artifact [--gib 4] [--work DIR] [--rbpipe FILE]

Uses target/release/rbpipe (build it optimised: `cargo build --release`). Peers come from PyPI into WORK/peers. Each command checks what it claims and ends with a line or table for docs/benchmarks.md.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def run(command, folder, env=None, fine=True):
    """Runs a command; returns its wall and processor seconds, peak memory in MiB and what it said."""
    start = time.perf_counter()
    p = subprocess.Popen(
        [str(c) for c in command], cwd=folder, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = p.stdout.read().decode()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if fine and p.returncode != 0:
        sys.exit(f"{command} failed with {p.returncode}: {said[-2000:]}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024, "said": said}


def rows(folder, n):
    with open(folder / "rows.jsonl", "w") as f:
        for i in range(n):
            f.write(json.dumps({"id": f"r{i}", "text": f"some words of row {i}", "n": i}) + "\n")


def wide(folder, n):
    """One source, n readers, one join: the graph of `peers/gen_engine_graph.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows(folder, 1)
    with open(folder / "recipe.rb2", "w") as f:
        f.write('recipe "wide"\nimport std.{data, filter}\nschema Row { id: Str, text: Str, n: Int }\nlet src = data.jsonl("rows.jsonl", as: Row)\n')
        for i in range(n):
            f.write(f"let n{i} = src |> filter.rule(where: .n < {i + 1})\n")
        f.write("output join = data.concat(" + ", ".join(f"s{i}: n{i}" for i in range(n)) + ') to "join.jsonl"\n')


def mixed(folder, n, programs):
    """A graph of n nodes: chains of five below one source; some nodes are programs in processes of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    rows(folder, 400)
    (folder / "mine.py").write_text("import sys, time\ntime.sleep(0.02)\nfor line in sys.stdin: print(line, end='')\n")
    with open(folder / "recipe.rb2", "w") as f:
        f.write('recipe "mixed"\nimport std.{data, filter}\nschema Row { id: Str, text: Str, n: Int }\nlet src = data.jsonl("rows.jsonl", as: Row)\n')
        f.write('op mine(d: Dataset[{ text: Str, n: Int }]) -> Dataset[{ text: Str, n: Int }] runs "python3 mine.py" files ["mine.py"] deterministic\n')
        left, chain = n - 2 - 2 * programs, 0
        ends = []
        while left > 0:
            last = "src"
            for step in range(min(5, left)):
                f.write(f"let c{chain}x{step} = {last} |> filter.rule(where: .n != {chain * 7 + step})\n")
                last = f"c{chain}x{step}"
            left -= 5
            ends.append(last)
            chain += 1
        for i in range(programs):
            f.write(f"let p{i} = c{i}x0 |> data.select(columns: [.text, .n]) |> mine()\noutput o{i} = p{i} to \"out/p{i}.jsonl\"\n")
        f.write("output all = data.concat(" + ", ".join(f"e{i}: {e}" for i, e in enumerate(ends)) + ') to "out/all.jsonl"\n')


def outputs(folder):
    found = sorted(p for p in (folder / "out").rglob("*") if p.is_file() and not p.name.endswith(".rbpipe.json"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def with_variable(mark):
    """Processes that run with a text in their environment, zombies left out."""
    found = []
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                if mark in (p / "environ").read_bytes() + (p / "cmdline").read_bytes() and " Z " not in (p / "stat").read_text():
                    found.append(int(p.name))
            except OSError:
                pass
    return found


def kills(a):
    folder, cache = a.work / "kills", a.work / "kills-cache"
    for f in (folder, cache):
        shutil.rmtree(f, ignore_errors=True)
    mixed(folder, 200, 4)
    env = {"RBPIPE_CACHE": str(cache)}
    command = [a.rbpipe, "run", "recipe.rb2", "-w", "at_most=1"]
    cold = run(command, folder, env)
    good = outputs(folder)
    draw = random.Random(a.seed)
    done = whole = 0
    while done < a.kills:
        shutil.rmtree(cache)
        shutil.rmtree(folder / "out")
        while done < a.kills:
            p = subprocess.Popen([str(c) for c in command], cwd=folder, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                # Now short, now long: the start of a run is as likely as its middle.
                p.wait(draw.uniform(0, min(cold["wall"], a.window) * draw.choice([0.1, 0.4, 1.1])))
                if p.returncode != 0:
                    sys.exit(f"a run ended with {p.returncode} after {done} kills")
                break
            except subprocess.TimeoutExpired:
                p.send_signal(signal.SIGKILL)
                p.wait()
                done += 1
            if done % 50 == 0:
                # A guardian needs a moment to end what is left.
                for _ in range(100):
                    left = with_variable(str(cache).encode())
                    if not left:
                        break
                    time.sleep(0.05)
                else:
                    sys.exit(f"orphans after {done} kills: {left}")
                print(f"{done} kills, {whole} recipes completed", file=sys.stderr)
        said = run(command, folder, env)["said"]
        if outputs(folder) != good:
            sys.exit(f"other bytes after {done} kills: {said[-500:]}")
        run([a.rbpipe, "cache", "verify"], folder, env)
        if any((cache / "tmp").iterdir()):
            sys.exit(f"something is left in tmp after {done} kills")
        whole += 1
    print(f"| {done} kills at random instants, 200 nodes | {whole} recipes completed, each with the same bytes, `cache verify` clean, no process and no temporary file left |")


def nodes(a):
    folder, cache = a.work / "nodes", a.work / "nodes-cache"
    table = []

    def ours(n):
        for f in (folder, cache):
            shutil.rmtree(f, ignore_errors=True)
        wide(folder, n)
        env = {"RBPIPE_CACHE": str(cache)}
        cold = run([a.rbpipe, "run", "recipe.rb2"], folder, env)
        warm = min((run([a.rbpipe, "run", "recipe.rb2"], folder, env) for _ in range(5)), key=lambda m: m["wall"])
        assert f"0 run, {n + 2} hit" in warm["said"], warm["said"][-300:]
        table.append(("rbpipe", n, cold, warm))

    for n in dict.fromkeys([a.peers, a.nodes]):
        ours(n)
    python = a.work / "peers/bin/python"
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", a.work / "peers"])
        subprocess.check_call([python, "-m", "pip", "install", "-q", "snakemake", "dvc"])
    graph = a.work / "graph"
    shutil.rmtree(graph, ignore_errors=True)
    subprocess.check_call([python, HERE / "peers/gen_engine_graph.py", str(a.peers), graph])
    env = {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    cores = str(os.cpu_count())
    snake = ["snakemake", "--cores", cores, "--quiet", "all"]
    cold = run(snake, graph, env)
    table.append(("Snakemake", a.peers, cold, run(snake, graph, env)))
    for f in graph.glob("*.txt"):
        if f.name != "src.txt":
            f.unlink()
    run(["git", "init", "-q"], graph)
    run(["dvc", "init", "-q"], graph, env)
    cold = run(["dvc", "repro", "-q"], graph, env)
    table.append(("DVC", a.peers, cold, run(["dvc", "repro", "-q"], graph, env)))
    base = table[0]
    print("| tool | nodes | cold s | nodes per s | CPU s | warm no-op s | cold ratio | warm ratio |\n|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, n, cold, warm in table:
        ratio = f"{cold['wall'] / base[2]['wall']:.1f} | {warm['wall'] / base[3]['wall']:.1f}" if n == a.peers else " | "
        print(f"| {name} | {n:,} | {cold['wall']:.2f} | {n / cold['wall']:,.0f} | {cold['cpu']:.1f} | {warm['wall']:.2f} | {ratio} |")


def eight(a):
    folder, cache = a.work / "eight", a.work / "eight-cache"
    for f in (folder, cache):
        shutil.rmtree(f, ignore_errors=True)
    mixed(folder, 200, 4)
    env = {**os.environ, "RBPIPE_CACHE": str(cache)}
    start = time.perf_counter()
    running = []
    for i in range(8):
        copy = a.work / f"eight-{i}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        command = [a.rbpipe, "run", "recipe.rb2", "-w", "at_most=1", "--events", "events.jsonl"]
        running.append((copy, subprocess.Popen([str(c) for c in command], cwd=copy, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))
    if any(p.wait() != 0 for _, p in running):
        sys.exit("a run failed")
    wall = time.perf_counter() - start
    made = []
    for copy, _ in running:
        events = [json.loads(line) for line in open(copy / "events.jsonl")]
        made += [e["key"] for e in events if e["event"] == "node_finished"]
        if outputs(copy) != outputs(running[0][0]):
            sys.exit("the outputs differ")
    if len(made) != len(set(made)):
        sys.exit(f"{len(made) - len(set(made))} keys were executed more than once")
    for copy, _ in running:
        shutil.rmtree(copy)
    print(f"| eight processes, one store, 200 nodes | {len(made)} keys executed, each once, in {wall:.1f} s; the same outputs |")


def artifact(a):
    folder, size = a.work / "artifact", int(a.gib * 2**30)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "big").mkdir(parents=True)
    (folder / "big/config.json").write_text('{"model_type": "none"}')
    head = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with open(folder / "big/model.safetensors", "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head)
        for _ in range(size // 2**22):
            f.write(os.urandom(2**22))
    (folder / "recipe.rb2").write_text('recipe "big"\nimport std.{model}\nlet big = model.hf("./big")\noutput copy = big to "copy"\n')
    source, remote = folder / "big/model.safetensors", f"file://{folder}/remote"
    gib = source.stat().st_size / 2**30
    steps = []

    def step(name, command, cache=None):
        os.sync()
        steps.append((name, run(command, folder, {"RBPIPE_CACHE": str(folder / cache)} if cache else None)))

    step("`cp` and `sync`", ["sh", "-c", f"cp {source} {folder}/cp && sync {folder}/cp"])
    (folder / "cp").unlink()
    step("`run`: into the store", [a.rbpipe, "run", "recipe.rb2", "--to", "big"], "one")
    step("`cache push` to a folder", [a.rbpipe, "cache", "push", remote, "recipe.rb2"], "one")
    shutil.rmtree(folder / "one")
    step("`cache pull` into another store", [a.rbpipe, "cache", "pull", remote, "recipe.rb2"], "two")
    shutil.rmtree(folder / "remote")
    step("`run --no-exec`: out of the store", [a.rbpipe, "run", "recipe.rb2", "--no-exec"], "two")
    if subprocess.call(["cmp", source, folder / "copy/model.safetensors"]) != 0:
        sys.exit("the bytes differ")
    shutil.rmtree(folder)
    base = steps[0][1]["wall"]
    print(f"| {gib:.1f} GiB | wall s | MiB/s | times `cp` | CPU s | peak MiB |\n|---|--:|--:|--:|--:|--:|")
    for name, m in steps:
        print(f"| {name} | {m['wall']:.1f} | {gib * 1024 / m['wall']:.0f} | {m['wall'] / base:.2f} | {m['cpu']:.1f} | {m['mib']:.0f} |")


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("what", choices=["kills", "nodes", "eight", "artifact"])
    a.add_argument("--kills", type=int, default=1000)
    a.add_argument("--window", type=float, default=3600, help="seconds after the start of a run within which it is killed, at most; else as long as a cold run takes")
    a.add_argument("--nodes", type=int, default=10_000)
    a.add_argument("--peers", type=int, default=1_000)
    a.add_argument("--gib", type=float, default=4)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/rbpipe-bench"))
    a.add_argument("--rbpipe", type=pathlib.Path, default=ROOT / "target/release/rbpipe")
    a = a.parse_args()
    a.work = a.work.resolve()
    a.work.mkdir(parents=True, exist_ok=True)
    a.rbpipe = a.rbpipe.resolve()
    {"kills": kills, "nodes": nodes, "eight": eight, "artifact": artifact}[a.what](a)


main()
