"""How long the report page takes to open: 20,000 questions, two models, pictures, in a headless Chromium.

  python3 tests/bench/report.py --rbpipe target/release/rbpipe [--rows 20000] [--runs 5]

The recipe scores replies that are there already (`eval.score`), so no model runs. What is timed is one navigation of a fresh browser to
the file on the disk: from its start until the page's script has drawn everything, by the browser's own clock. Needs `chromium`.
"""
import argparse
import json
import os
import pathlib
import random
import re
import resource
import statistics
import struct
import subprocess
import tempfile
import time
import zlib

RECIPE = '''recipe "large" requires ">=0.1"
import std.{data, bench, read, mark, total, eval, report}
schema Reply { id: Str, reply: Str, option_p: [Float] }
let asked = bench.json("items.jsonl", media: "media")
  |> bench.sample(id: .id, kind: .kind, question: .question, options: .options, key: .key, images: [.image], cluster: .image,
                  polygon: .area, groups: { skill: .skill })
  |> bench.ask(choice: "Answer with the letter.", point: "Answer with a point.")
  |> bench.read(choice: read.choice(), point: read.points())
  |> bench.mark(choice: mark.letter(), point: mark.polygon())
  |> bench.total(headline: total.micro())
let scores = sweep m in { weak: data.jsonl("weak.jsonl", as: Reply), strong: data.jsonl("strong.jsonl", as: Reply) }, b in { asked } {
  eval.score(m, on: b, coord_space: "unit")
}
output page = report.page(scores, title: "Many questions") to "out/page.html"
'''
TIMER = '''<script>document.body.getBoundingClientRect(); const took = document.createElement("i"); took.id = "took";
took.textContent = performance.now().toFixed(1); document.body.append(took);
const asked = performance.now(); for (const f of ["wrong", "wrong", "differ", "differ"]) document.querySelector(`[data-f=${f}]`).click();
document.body.getBoundingClientRect(); const clicked = document.createElement("i"); clicked.id = "clicked";
clicked.textContent = ((performance.now() - asked) / 4).toFixed(1); document.body.append(clicked)</script>'''


def picture(draw, width=320, height=240):
    """A PNG: a square of one colour on another, with some noise so that it does not shrink to nothing."""
    ground, square = (bytes(draw.randrange(256) for _ in range(3)) for _ in range(2))
    x, y = draw.randrange(200), draw.randrange(140)
    line = lambda row: b"\0" + b"".join(square if x <= c < x + 90 and y <= row < y + 90 else ground for c in range(width - 8)) + draw.randbytes(24)
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(map(line, range(height))))) + chunk(b"IEND", b"")


def write(folder, n):
    draw = random.Random(7)
    (folder / "media").mkdir()
    for i in range(400):
        (folder / "media" / f"{i}.png").write_bytes(picture(draw))
    words = "the mug stands left of a red box near the edge while the can lies behind it".split()
    rows, replies = [], {"weak": [], "strong": []}
    for i in range(n):
        point = i % 5 == 0
        key = "ABCD"[i % 4]
        rows.append({"id": f"q{i}", "kind": "point" if point else "choice", "question": " ".join(draw.choices(words, k=24)) + f" ({i})?",
                     "options": [] if point else ["left of it", "right of it", "behind it", "in front of it"], "key": "" if point else key,
                     "image": f"{i % 400}.png", "skill": ["near", "far", "count"][i % 3], "area": "[(0.2, 0.2), (0.7, 0.2), (0.7, 0.7), (0.2, 0.7)]" if point else None})
        for model, skill in [("weak", 0.5), ("strong", 0.7)]:
            right = draw.random() < skill
            if point:
                reply, p = ("[(0.4, 0.5)]" if right else "[(0.75, 0.1, 0.95, 0.3)]"), []
            else:
                said = key if right else "ABCD"[(i + 1) % 4]
                p = [0.1] * 4
                p["ABCD".index(said)] = 0.7
                reply = "I cannot say." if draw.random() < 0.03 else f"{' '.join(draw.choices(words, k=30))}. Answer: {said}"
            replies[model].append({"id": f"q{i}", "reply": reply, "option_p": p})
    for name, lines in [("items", rows), *replies.items()]:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "recipe.rb2").write_text(RECIPE)


def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rbpipe", default="target/release/rbpipe")
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", help="write the page here too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder, args.rows)
        env = {**os.environ, "RBPIPE_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
        began, used = time.time(), cpu()
        subprocess.run([str(pathlib.Path(args.rbpipe).resolve()), "run", "recipe.rb2"], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        print(f"rbpipe run: {cpu() - used:.1f} CPU s, {time.time() - began:.1f} s")
        text = (folder / "out" / "page.html").read_text()
        if args.keep:
            pathlib.Path(args.keep).write_text(text)
        timed = folder / "timed.html"
        timed.write_text(text.replace("</body>", TIMER + "</body>"))
        took, clicked = [], []
        for run in range(args.runs):
            command = [args.chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                       f"--user-data-dir={folder / f'profile{run}'}", "--dump-dom", f"file://{timed}"]
            dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert 'data-ready="yes"' in dom, "the page's script did not come to its end"
            took.append(float(re.search(r'id="took">([\d.]+)', dom)[1]))
            clicked.append(float(re.search(r'id="clicked">([\d.]+)', dom)[1]))
        print(f"{args.rows} questions, two models, {len(text) / 2**20:.1f} MiB, load {os.getloadavg()[0]:.1f}")
        print(f"opened in {statistics.median(took):.0f} ms (median of {args.runs}; {min(took):.0f} to {max(took):.0f})")
        print(f"a filter switched in {statistics.median(clicked):.0f} ms (median; mean of four clicks each)")


main()
