#!/usr/bin/env python3
"""Plants defects into the clean rows of the tabletop set anew: other rows, other edits, other qualities of JPEG, another seed.

python3 tests/bench/second_tabletop.py OUT [--seed 11] [--from recipes/data/tabletop]

OUT gets the layout of the set that is read; `RBPIPE_TABLETOP=OUT cargo test --release -- planted_defects_are_found --nocapture` measures it. Needs Pillow.
"""
import argparse
import json
import os
import pathlib
import random
import re

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BEFORE = ["Please look at the picture. ", "Take a good look. ", "Question: ", "OK, now tell me: ", "One more: ", "Here is a scene. "]
AFTER = [" Thanks.", " Take your time.", " Be exact.", " Go."]
WORDS = [("picture", "image"), ("table", "desk"), ("see", "spot"), ("objects", "things"), ("closest", "nearest"), ("Mark", "Show"), ("Give", "Name"),
         ("farthest", "furthest"), ("Pick", "Choose"), ("Is", "Would you say"), ("many", "many of the")]
OFF_TOPIC = ["The meeting was moved to Thursday because two people were ill.", "Water boils at a lower temperature in the mountains.",
             "My cousin learned to play the cello when she was nine.", "Rates of interest rose again in the third quarter.",
             "To reset your password, open the settings and follow the link.", "The recipe asks for two eggs and a pinch of salt."]
FORMS = {
    "point": [lambda t: re.sub(r"[()]", "", t), lambda t: "The point is " + t + ".", lambda t: t.replace("(", "(x: ").replace(", 0", ", y: 0"),
              lambda t: re.sub(r"0\.(\d\d)", lambda m: str(int(m[1]) * 10), t), lambda t: t.strip("[]")],
    "letter": [lambda t: t + ".", lambda t: "(" + t + ")", lambda t: "Answer: " + t, lambda t: t.lower(), lambda t: "**" + t + "**", lambda t: "Option " + t],
    "count": [lambda t: t + " of them", lambda t: "about " + t, lambda t: "There are " + t + "."],
}


def typo(text, draw):
    words = [m for m in re.finditer(r"[a-z]{5,}", text)]
    if not words:
        return None
    m = draw.choice(words)
    at = draw.randrange(m.start(), m.end() - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2:] if draw.random() < 0.5 else text[:at] + text[at + 1:]


def punct(text, draw):
    out = draw.choice([lambda t: t.replace("?", " ?").replace(".", " .", 1), lambda t: t[0].lower() + t[1:], lambda t: t.rstrip("?."), lambda t: t.replace(" ", "  ", 2),
                       lambda t: t.upper() if "(" not in t and "\n" not in t else t.rstrip("?.")])(text)
    return out if out != text else None


def word_sub(text, draw):
    fits = [(a, b) for a, b in WORDS if re.search(rf"\b{a}\b", text)]
    if not fits:
        return None
    a, b = draw.choice(fits)
    return re.sub(rf"\b{a}\b", b, text, count=1)


def reorder(text, draw):
    parts = re.split(r"(?<=[.?!]) ", text)
    if len(parts) < 2 or "\n" in text:
        return None
    return " ".join(parts[1:] + parts[:1])


def filler(text, draw):
    return draw.choice(BEFORE) + text if draw.random() < 0.7 else text + draw.choice(AFTER)


EDITS = {"typo": typo, "punct": punct, "word_sub": word_sub, "reorder": reorder, "filler": filler}


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("out", type=pathlib.Path)
    a.add_argument("--seed", type=int, default=11)
    a.add_argument("--from", dest="source", type=pathlib.Path, default=ROOT / "recipes/data/tabletop")
    a = a.parse_args()
    draw = random.Random(a.seed)
    lines = lambda path: [json.loads(line) for line in open(path)]
    truth = {t["id"]: t for t in lines(a.source / "truth/truth.jsonl")}
    rows = [r for name in ("ego4d", "epic", "host", "lvis") for r in lines(a.source / f"raw/{name}.jsonl")]
    clean = [r for r in rows if truth[r["id"]]["defect"] == "clean"]
    # A row whose picture is itself a copy is a trap, and stays as it is.
    plain = [r for r in clean if not truth[r["id"]].get("op") and len(r["images"]) == 1]
    draw.shuffle(plain)
    out = [(r, dict(truth[r["id"]])) for r in clean]
    images = a.out / "images/train"
    images.mkdir(parents=True, exist_ok=True)
    for path in (a.source / "images/train").iterdir():
        link = images / path.name
        if not link.exists():
            link.symlink_to(path.resolve())
    for name in ("images/episodes", "masks", "annotations"):
        target = a.out / name
        if (a.source / name).exists() and not target.exists():
            target.symlink_to((a.source / name).resolve())
    copies = {}

    def copied(path):
        if path not in copies:
            name = f"images/train/x{len(copies):05d}.jpg"
            quality = draw.choice([45, 55, 65, 72, 85, 92])
            Image.open(a.source / path).save(a.out / name, quality=quality, subsampling=draw.choice([0, 2]))
            copies[path] = (name, quality)
        return copies[path][0]

    used = iter(plain)
    new = []

    def plant(defect, count, make):
        made = 0
        while made < count:
            r = next(used)
            found = make(r, truth[r["id"]])
            if found is None:
                continue
            changes, op = found
            new.append(({**r, **changes}, r, defect, op))
            made += 1

    def edited(r):
        name = draw.choice(list(EDITS))
        text = EDITS[name](r["instruction"], draw)
        return None if text is None else (name, text)

    def near(r, t):
        found = edited(r)
        return found and ({"instruction": found[1]}, found[0])

    def other_picture(r, t):
        if not r["images"][0].startswith("images/train/"):
            return None
        found = edited(r) if draw.random() < 0.45 else ("", r["instruction"])
        return found and ({"images": [copied(r["images"][0])], "instruction": found[1]}, "reencoded_image+" + found[0])

    def form(r, t):
        text = r["output"]
        kind = "point" if re.fullmatch(r"\[\(.*\)\]", text) else "letter" if re.fullmatch("[A-Z]", text) else "count" if text.isdigit() else None
        if kind is None:
            return None
        made = draw.choice(FORMS[kind])(text)
        return None if made == text else ({"output": made}, "form_" + kind)

    def elsewhere(r, t):
        if draw.random() < 0.35:
            return {"output": draw.choice(OFF_TOPIC)}, "off_topic"
        other = draw.choice(clean)
        kind = truth[other["id"]]["kind"]
        return None if kind == t["kind"] or other["output"] == r["output"] else ({"output": other["output"]}, "answer_of_" + kind)

    def wrong(r, t):
        text = r["output"]
        if text.lower() in ("yes", "no"):
            said = {"yes": "no", "no": "yes"}[text.lower()]
        elif text.isdigit():
            said = str(int(text) + draw.choice([1, 2]))
        elif re.fullmatch("[A-D]", text):
            said = draw.choice([c for c in "ABCD" if c != text and f"\n{c}." in r["instruction"] + "\n" + (r["input"] or "")] or [None])
        else:
            said = None
        if said is None:
            return None
        found = edited(r) if draw.random() < 0.5 else ("same_text", r["instruction"])
        return found and ({"output": said, "instruction": found[1]}, "pair/" + found[0])

    plant("exact_dup", 300, lambda r, t: ({}, "same"))
    plant("near_dup", 480, near)
    plant("image_dup", 300, other_picture)
    plant("empty", 190, lambda r, t: ({"output": draw.choice(["", " ", "\n", "\t ", "\u00a0"])}, "blank"))
    plant("bad_format", 280, form)
    plant("irrelevant", 270, elsewhere)
    plant("wrong", 360, wrong)
    twin = {"exact_dup", "near_dup", "image_dup", "wrong"}
    replaced = {}
    for n, (row, source, defect, op) in enumerate(new):
        mark = {**truth[source["id"]], "defect": defect, "op": op}
        if defect in twin:
            row = {**row, "id": f"{row['source']}-x{n:05d}"}
            cluster = f"x{n:05d}"
            replaced.setdefault(source["id"], {})["cluster"] = cluster
            out.append((row, {**mark, "id": row["id"], "cluster": cluster, "of": source["id"]}))
        else:
            replaced[source["id"]] = {"row": row, "mark": mark}
    final = []
    for row, mark in out:
        change = replaced.get(row["id"], {})
        if "row" in change:
            row, mark = change["row"], change["mark"]
        if "cluster" in change:
            mark["cluster"] = change["cluster"]
        final.append((row, mark))
    draw.shuffle(final)
    (a.out / "raw").mkdir(exist_ok=True)
    (a.out / "truth").mkdir(exist_ok=True)
    for name in ("ego4d", "epic", "host", "lvis"):
        with open(a.out / f"raw/{name}.jsonl", "w") as f:
            f.writelines(json.dumps(row) + "\n" for row, _ in final if row["source"] == name)
    with open(a.out / "truth/truth.jsonl", "w") as f:
        f.writelines(json.dumps(mark) + "\n" for _, mark in final)
    with open(a.out / "truth/duplicate_images.jsonl", "w") as f:
        for line in open(a.source / "truth/duplicate_images.jsonl"):
            f.write(line)
        for path, (name, quality) in copies.items():
            f.write(json.dumps({"image": name, "of": path, "op": "reencode", "quality": quality}) + "\n")
    print(len(final), "rows,", len(new), "defects,", len(copies), "copied pictures")


if __name__ == "__main__":
    main()
