#!/usr/bin/env python3
"""Writes the seeds of the fuzz target: shipped recipes, the recipes of all pages, and the corpus of mistakes. `seeds.py FOLDER`."""

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def texts():
    """Yields each text; a second file stands after a line `--- lib.rb2`, as the target reads it."""
    for folder in ("recipes", "stdlib", "src/cli/new"):
        for path in sorted((ROOT / folder).rglob("*.rb2")):
            yield path.read_text()
    for path in sorted((ROOT / "docs").rglob("*.md")):
        for block in re.findall(r"```rb2[^\n]*\n(.*?)```", path.read_text(), re.S):
            yield block
    for path in sorted((ROOT / "tests/corpus/mistakes").glob("*.txt")):
        head, *cases = re.split(r"^=== .*\n", path.read_text(), flags=re.M)
        for case in cases:
            recipe, *others = re.split(r"^--- .*\n", case, flags=re.M)
            yield head + recipe + "".join("--- lib.rb2\n" + other for other in others[:1])


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for text in texts():
        data = text.encode()
        (out / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
