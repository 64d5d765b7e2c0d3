#!/usr/bin/env python3
"""Row filters beside Data-Juicer from PyPI: the same chain on the same rows, one after the other: processor seconds, wall seconds, peak memory, rows kept.

python3 tests/bench/filters.py [--rows 50000] [--repeats 2] [--work ~/.cache/rbpipe-peers] [--rbpipe target/release/rbpipe]

Needs what `tests/bench/peers/setup.sh main dj` makes. The rows: texts of the dedup corpus, each with a picture made here.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from dedup import HERE, ROOT, best, measured

# Data-Juicer takes three processes or more only where they fit its guess of memory; both tools get the two cores that the machine has.
CHAIN = """project_name: filters
dataset_path: {tmp}/dj.jsonl
export_path: {tmp}/dj-out/kept.jsonl
np: 2
use_cache: false
open_tracer: false
text_keys: text
image_key: images
ds_cache_dir: {tmp}/dj-cache
temp_dir: {tmp}/dj-tmp
work_dir: {tmp}/dj-out
process:
  - text_length_filter: {{min_len: 300, max_len: 2000}}
  - alphanumeric_filter: {{tokenization: false, min_ratio: 0.82}}
  - words_num_filter: {{tokenization: false, min_num: 60, max_num: 250}}
  - image_shape_filter: {{min_width: 150, max_width: 400, min_height: 150, max_height: 400, any_or_all: all}}
  - image_aspect_ratio_filter: {{min_ratio: 0.5, max_ratio: 1.4, any_or_all: all}}
"""


def make(work, rows, python):
    """Makes `rows` texts with a picture each, 1,000 pictures of many sizes."""
    folder = work / "data" / f"filters-{rows}"
    if (folder / "rows.jsonl").exists():
        return folder
    corpus = work / "data/100k"
    if not (corpus / "text.jsonl").exists():
        command = [python, HERE / "peers/gen_corpus.py", "100000", corpus, "--seed", "7"]
        subprocess.check_call(command, env={**os.environ, "PEERS_WORK": str(work)})
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    draw = "import random, sys, pathlib; from PIL import Image; r = random.Random(3)\n"
    draw += "for i in range(1000):\n    s = (r.randint(100, 450), r.randint(100, 450))\n"
    draw += "    Image.effect_noise(s, 40).convert('RGB').save(pathlib.Path(sys.argv[1]) / f'{i}.jpg', quality=70)\n"
    subprocess.check_call([work / "dj/bin/python", "-c", draw, folder / "pictures"])
    chance = random.Random(4)
    with open(folder / "rows.jsonl.part", "w") as out, open(corpus / "text.jsonl") as lines:
        for _, line in zip(range(rows), lines):
            row = {**json.loads(line), "images": [f"pictures/{chance.randrange(1000)}.jpg"]}
            out.write(json.dumps(row) + "\n")
    os.rename(folder / "rows.jsonl.part", folder / "rows.jsonl")
    return folder


def ids(path):
    with open(path) as lines:
        return {json.loads(line)["id"] for line in lines}


def has_bare_marks(text):
    """Says whether a text has words of marks alone, which Data-Juicer does not count."""
    return any(not any(c.isalnum() for c in word) for word in text.split())


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--rows", type=int, default=50_000)
    a.add_argument("--repeats", type=int, default=2)
    a.add_argument("--work", default=os.path.expanduser("~/.cache/rbpipe-peers"))
    a.add_argument("--rbpipe", help="a binary; built if absent")
    a = a.parse_args()
    work = pathlib.Path(a.work)
    juicer = work / "dj/bin/dj-process"
    if not juicer.exists():
        subprocess.check_call(["bash", HERE / "peers/setup.sh", "main", "dj"], env={**os.environ, "PEERS_WORK": str(work)})
    if not a.rbpipe:
        subprocess.check_call(["cargo", "build", "--release", "--bin", "rbpipe"], cwd=ROOT)
        a.rbpipe = ROOT / "target/release/rbpipe"
    rows = make(work, a.rows, work / "main/bin/python")
    with tempfile.TemporaryDirectory(dir=work) as tmp:
        tmp = pathlib.Path(tmp)
        shutil.copy(HERE / "filters.rb2", tmp)
        for name in ("rows.jsonl", "pictures"):
            (tmp / name).symlink_to(rows / name)

        def ours():
            shutil.rmtree(tmp / "cache", ignore_errors=True)
            return measured([a.rbpipe, "run", tmp / "filters.rb2"], RBPIPE_CACHE=str(tmp / "cache"))

        # Data-Juicer looks for relative paths beside the working folder: it gets absolute ones.
        with open(rows / "rows.jsonl") as lines, open(tmp / "dj.jsonl", "w") as out:
            for line in lines:
                row = json.loads(line)
                out.write(json.dumps({**row, "images": [str(rows / path) for path in row["images"]]}) + "\n")
        (tmp / "dj.yaml").write_text(CHAIN.format(tmp=tmp))

        def theirs():
            for name in ("dj-out", "dj-cache", "dj-tmp"):
                shutil.rmtree(tmp / name, ignore_errors=True)
            (tmp / "dj-tmp").mkdir()
            return measured([juicer, "--config", tmp / "dj.yaml"])

        run, other = best(a.repeats, ours), best(a.repeats, theirs)
        kept, also = ids(tmp / "kept.jsonl"), ids(tmp / "dj-out/kept.jsonl")
        with open(rows / "rows.jsonl") as lines:
            apart = [row for row in map(json.loads, lines) if row["id"] in kept ^ also]
    print(f"| length, alphanumeric share, words, picture size and shape of {a.rows:,} rows | CPU s | wall s | peak MiB | CPU ratio | rows kept |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, m, rows in [("`rbpipe run`, cold, JSON lines to JSON lines", run, kept), ("Data-Juicer, two processes", other, also)]:
        print(f"| {name} | {m['cpu']:.2f} | {m['wall']:.2f} | {m['mib']} | {m['cpu'] / run['cpu']:.1f} | {len(rows):,} |")
    marks = sum(has_bare_marks(row["text"]) for row in apart)
    print(f"\nKept by one of the two only: {len(apart)} rows, {marks} of them with words of marks alone.")
    if marks < len(apart):
        sys.exit(f"another reason: {[row['id'] for row in apart if not has_bare_marks(row['text'])][:5]}")


if __name__ == "__main__":
    main()
