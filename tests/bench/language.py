#!/usr/bin/env python3
"""Times `rbpipe check` and the language server on a recipe of 500 lines with 20 imports. `language.py target/release/rbpipe [--keep FOLDER]`.

Processor time is printed beside wall time: on a busy machine only the first says what the program needs.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

LINES, IMPORTS = 500, 20

FUNCTION = """## Keeps rows with enough words.
fn f{j}(d: Dataset[{{ output: Str, ..r }}], n: Int = {j}) -> Dataset[{{ output: Str, ..r }}] =
  d |> filter.rule(where: .output.words >= n and .output.trim() != "") |> data.sort(by: [.output])
"""

HEAD = """schema Sample {
  id: Str
  instruction: Str
  input: Str?
  output: Str
  images: [Image]
  risk: enum { safe, low, high }
}
param seed: Int = 1
let raw = data.jsonl("raw.jsonl", as: Sample)
let base = model.hf("./tiny")
"""

STEP = """## Step {i}.
let d{i} = {before}
  |> m{module}.f0(n: {n})
  |> filter.rule(where: .output.words >= 2 and not .instruction.contains("x{i}"))
  |> dedup.minhash(on: [.instruction, .output], similar: 80%, within: [.images])
  |> data.select(columns: [.id, .instruction, .input, .output, .images, .risk])

stage s{i} = base |> train.sft(data: d{i}, epochs: 1, lr: 1e-5, warmup: 5%, cutoff: 2048tok) with {{ timeout: 1h, retries: 2 }}
expect d{i}.rows >= {i}rows else "too few"
"""


def write(folder):
    """Writes the recipe and its imports; returns its text."""
    (folder / "lib").mkdir(parents=True, exist_ok=True)
    for m in range(IMPORTS):
        functions = "".join(FUNCTION.format(j=j) for j in range(3))
        (folder / f"lib/m{m}.rb2").write_text("import std.{data, filter}\n" + functions)
    text = 'recipe "big" requires ">=0.1"\nimport std.{data, filter, dedup, train, model}\n'
    text += "".join(f'import "./lib/m{m}.rb2" as m{m}\n' for m in range(IMPORTS)) + HEAD
    before, i = "raw", 0
    while text.count("\n") + STEP.count("\n") < LINES or i < IMPORTS:
        text += STEP.format(i=i, before=before, module=i % IMPORTS, n=i % 7)
        before, i = ("raw" if i % 5 == 4 else f"d{i}"), i + 1
    text += f'output last = s{i - 1} to "out/last"\n'
    (folder / "big.rb2").write_text(text)
    return text


def said(name, wall, work, n):
    line = f"{name}: best {1e3 * min(wall):.1f} ms, median {1e3 * statistics.median(wall):.1f} ms of {n}"
    print(line + (f"; processor: best {1e3 * min(work):.1f} ms, median {1e3 * statistics.median(work):.1f} ms" if work else ""))


def check(rbpipe, folder, n):
    wall, work = [], []
    for _ in range(n):
        start = time.perf_counter()
        child = subprocess.Popen([rbpipe, "check", "big.rb2"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        words = child.stderr.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall.append(time.perf_counter() - start)
        work.append(usage.ru_utime + usage.ru_stime)
        assert child.returncode == 0, words[-400:]
    said("check", wall, work, n)


class Editor:
    """A client over standard input and output."""

    def __init__(self, rbpipe, folder):
        self.child = subprocess.Popen([rbpipe, "lsp"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ids = 0
        self.version = 0
        self.uri = (folder / "big.rb2").as_uri()
        self.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": {}})
        self.tell("initialized", {})

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.child.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.child.stdin.flush()

    def read(self):
        length = 0
        while (line := self.child.stdout.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        return json.loads(self.child.stdout.read(length))

    def tell(self, method, params):
        self.send({"method": method, "params": params})

    def ask(self, method, params):
        self.ids += 1
        self.send({"id": self.ids, "method": method, "params": params})
        while (message := self.read()).get("id") != self.ids:
            pass
        return message["result"]

    def set(self, text):
        """Gives the whole text and waits for its diagnostics."""
        self.version += 1
        document = {"uri": self.uri, "version": self.version}
        if self.version == 1:
            self.tell("textDocument/didOpen", {"textDocument": {**document, "languageId": "rb2", "text": text}})
        else:
            self.tell("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})
        while True:
            message = self.read()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == self.uri:
                if message["params"].get("version", self.version) == self.version:
                    return message["params"]["diagnostics"]

    def work(self):
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(rbpipe, folder, text, n):
    editor = Editor(rbpipe, folder)
    editor.set(text)
    edits = {
        "edit to diagnostics": lambda k: text.replace("too few", f"too few {k}", 1),
        "edit with a mistake": lambda k: text.replace("retries: 2", f"retrie: {k}", 1),
        "edit that does not parse": lambda k: text.replace("epochs: 1", f"epochs: ({k}", 1),
    }
    for name, edit in edits.items():
        wall, before = [], editor.work()
        for k in range(n):
            start = time.perf_counter()
            editor.set(edit(k))
            wall.append(time.perf_counter() - start)
        mean = (editor.work() - before) / n
        said(name, wall, [mean], n)
    editor.ask("shutdown", None)
    editor.tell("exit", None)
    editor.child.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rbpipe", type=Path)
    parser.add_argument("--keep", type=Path, help="write the recipe here and leave it")
    parser.add_argument("--times", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.keep or Path(scratch)).resolve()
        text = write(folder)
        print(f"{text.count(chr(10))} lines, {IMPORTS} imports")
        rbpipe = str(args.rbpipe.resolve())
        check(rbpipe, folder, args.times)
        serve(rbpipe, folder, text, args.times)


if __name__ == "__main__":
    main()
