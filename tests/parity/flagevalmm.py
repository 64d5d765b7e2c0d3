"""FlagEvalMM's rules, written down once more from their description and apart from rbpipe: the other side of the parity test.

Reads JSON lines {kind, reply, key, width, height, target} and writes one score a line. `target` is what a point's
mask shows: a white rectangle in fractions. FlagEvalMM keeps masks as JPEG, so that white is not quite 1 there.
"""
import difflib
import json
import re
import sys

KEYWORDS = ["boxed", "Answer:", "Answer is", "answer is", "option is", "Correct option", "correct option", "Answer", "answer", "答案"]
WORDS = "zero one two three four five six seven eight nine ten".split()


def after_last(text, words):
    for word in words:
        if word in text:
            return text[text.rindex(word) + len(word):]
    return text


def letter(reply):
    if len(reply) == 1:
        return reply.upper()
    text = re.sub(r"[INST/]", "", reply.replace("The", "").replace("If", "")).strip()
    if re.match(r"[A-Z]\.", text):
        return text[0]
    found = [c for c in after_last(text, KEYWORDS) if "A" <= c <= "Z"]
    return found[0] if found else ""


def normalised(text):
    text = after_last(text.strip(), ["Answer:", "Answer is", "answer is", "Answer", "answer", "结果", "为", "therefore", " = "])
    text = text.strip().removeprefix(":").strip()
    if text and text[-1] in ".,:;":
        text = text[:-1]
    return text.strip()


def number(reply):
    text = normalised(reply)
    found = re.search(r"\d+(\.\d+)?", text)
    if found:
        return float(found.group())
    first = text.split()[0].lower() if text.split() else ""
    return float(WORDS.index(first)) if first in WORDS else 0.0


def mra(p, t):
    thetas = [0.5 + i * 0.05 for i in range(10)]
    thetas[8] = 0.8999999999999999  # as numpy.linspace gives it
    exact = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, thetas[8], 0.95]
    return sum(abs(p - t) / t <= 1.0 - theta for theta in exact) / 10


def similar(reply, key):
    lines = reply.split("</think>")[-1].split("\n")
    ratio = lambda line: difflib.SequenceMatcher(None, normalised(line), normalised(key)).ratio()
    return any(ratio(line) > 0.7 for line in lines)


def points(reply, width, height):
    out = []
    for inside in re.findall(r"\((\d+(?:\.\d+)?(?:,\s*\d+(?:\.\d+)?)+)\)", reply.strip().split("\n")[-1]):
        numbers = [n.strip() for n in inside.split(",")]
        if len(numbers) == 2:
            x, y = map(float, numbers)
            if "." in inside:
                x, y = x * width, y * height
            out.append((int(x), int(y)))
        elif len(numbers) == 4:
            scale = (width, height) if "." in numbers[0] else (1, 1)
            x1, y1, x2, y2 = (int(float(n) * scale[i % 2]) for i, n in enumerate(numbers))
            out += [(x, y) for y in range(max(y1, 0), min(y2, height)) for x in range(max(x1, 0), min(x2, width))]
    return out


def on_target(point, width, height, target):
    left, top, right, bottom = target
    x, y = point
    return left * width <= x < right * width and top * height <= y < bottom * height


for line in sys.stdin:
    item = json.loads(line)
    kind, reply, key = item["kind"], item["reply"], item["key"]
    if kind == "choice":
        score = letter(reply) == key
    elif kind == "number":
        score = mra(number(reply), float(key))
    elif kind == "text":
        score = similar(reply, key)
    elif kind == "yes_no":
        score = reply.strip().split("\n")[-1].strip().lower().startswith(key)
    else:
        found = points(reply, item["width"], item["height"])
        hits = [on_target(p, item["width"], item["height"], item["target"]) for p in found]
        score = sum(hits) / len(hits) if hits else 0.0
    print(float(score))
