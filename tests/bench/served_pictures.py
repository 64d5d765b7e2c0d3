"""Pictures at a real server: a tiny Qwen2.5-VL (that of `tests/goldens/dev`) behind `transformers serve`, asked by rbpipe, must say what
`generate` says of the same pictures in Python, word for word, also where each tenth request fails on the way. It is asked one question at a
time: the model keeps the places of its last pictures in itself, so questions side by side spoil each other's replies there.

  python3 tests/bench/served_pictures.py --rbpipe target/release/rbpipe [--items 60] [--transformers PROGRAM]

Needs torch, torchvision and `transformers[serving]`. The weights are random: what is said means nothing, and depends on every pixel.
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

import served

MODEL = pathlib.Path(__file__).parents[1] / "goldens" / "dev" / "model"
RECIPE = '''recipe "pictures" requires ">=0.1"
import std.{bench, read, mark, total, eval, model}
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "text", question: .question, key: .key, images: .images)
  |> bench.ask(text: "{question}", generate: { max_tokens: 12tok })
  |> bench.read(text: read.text())
  |> bench.mark(text: mark.text_equal())
  |> bench.total(headline: total.micro())
let s = eval.run(model.server("URL", name: "NAME"), on: asked) with { at_most: 1, stall: 20s, retries: 8 }
output items = s.items to "out/items.jsonl"
'''


def questions(folder, n):
    """Random pictures of several sizes, one or two to a question; JPEG and PNG."""
    from PIL import Image

    luck = random.Random(5)
    for i in range(n):
        names = []
        for k in range(1 + i % 2):
            width, height = luck.choice([(64, 48), (140, 84), (224, 224), (320, 200)])
            name = f"p{i}-{k}.{luck.choice(['png', 'jpg'])}"
            Image.frombytes("RGB", (width, height), luck.randbytes(3 * width * height)).save(folder / name)
            names.append(name)
        yield {"id": f"q{i}", "question": f"Which of them is number {i}?", "key": "none", "images": names}


def expected(model, folder, items):
    """What `generate` says, by id."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(model)
    net = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32).eval()
    out = {}
    for item in items:
        pictures = [Image.open(folder / name).convert("RGB") for name in item["images"]]
        parts = [{"type": "image", "image": p} for p in pictures] + [{"type": "text", "text": item["question"]}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        with torch.no_grad():
            made = net.generate(**inputs, do_sample=False, max_new_tokens=12)
        said = processor.batch_decode(made[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)[0]
        out[item["id"]] = said
    return out


def ask(args, work, url, model, name):
    folder = work / name
    (folder / "recipe.rb2").write_text(RECIPE.replace("URL", url).replace("NAME", str(model)))
    env = {**os.environ, "RBPIPE_CACHE": str(folder / f"cache-{name}"), "NO_COLOR": "1"}
    subprocess.run([args.rbpipe, "run", "recipe.rb2"], cwd=folder, env=env, check=True)
    return [json.loads(line) for line in open(folder / "out" / "items.jsonl")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rbpipe", required=True)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--transformers", default="transformers")
    args = parser.parse_args()
    args.rbpipe = os.path.abspath(args.rbpipe)
    with tempfile.TemporaryDirectory() as temp:
        work = pathlib.Path(temp)
        model = work / "model"
        shutil.copytree(MODEL, model)
        (work / "plain").mkdir()
        items = list(questions(work / "plain", args.items))
        (work / "plain" / "items.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items))
        shutil.copytree(work / "plain", work / "faulty")
        want = expected(model, work / "plain", items)
        child, url = served.serve(args.transformers, str(model), work)
        try:
            plain = ask(args, work, url, model, "plain")
            proxy = served.Proxy(url, True)
            faulty = ask(args, work, f"http://127.0.0.1:{proxy.server_address[1]}", model, "faulty")
        finally:
            child.terminate()
            child.wait()
    same = sum(row["reply"] == want[row["id"]] for row in plain)
    print(f"{same} of {len(items)} replies are those of generate; {len(set(want.values()))} different replies")
    print(f"with faults: {proxy.requests} requests, failed {dict(proxy.failed)}, delivered twice {sum(n > 1 for n in proxy.delivered.values())}")
    alike = [row["reply"] for row in plain] == [row["reply"] for row in faulty]
    print("the replies with faults are those without" if alike else "the replies with faults are others")
    sys.exit(0 if alike and same == len(items) else 1)


if __name__ == "__main__":
    main()
