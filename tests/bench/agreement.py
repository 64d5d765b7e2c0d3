#!/usr/bin/env python3
"""Trains one tiny model with LLaMA-Factory and with rbpipe on the same rows and options, SFT and DPO, and compares the losses of every step.

python3 tests/bench/agreement.py [--work ~/.cache/rbpipe-peers] [--python PYTHON] [--rbpipe target/release/rbpipe]

The model is that of tests/goldens/dev (Qwen2.5-VL, three text blocks, random weights). LLaMA-Factory is installed from PyPI unless --python has it;
rbpipe needs its engine. Its Trainer rounds losses to four decimals, so 1e-4 is all that can be seen. Exits with 1 where a loss is further off.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDENS = ROOT / "tests/goldens/dev"
COMMON = dict(
    do_train=True, finetuning_type="full", template="qwen2_vl", cutoff_len=512, per_device_train_batch_size=2, gradient_accumulation_steps=2,
    learning_rate=1e-3, num_train_epochs=2.0, lr_scheduler_type="cosine", warmup_steps=4, max_grad_norm=1.0, logging_steps=1, freeze_vision_tower=False,
    freeze_multi_modal_projector=False, image_max_pixels=589824, image_min_pixels=1024, seed=42, optim="adamw_torch", use_cpu=True, report_to="none",
    save_strategy="no", overwrite_output_dir=True, preprocessing_num_workers=1, dataloader_num_workers=0, trust_remote_code=False, weight_decay=0.01,
)
RECIPE = """recipe "agreement" requires ">=0.1"
import std.{{data, model, train}}

let start = model.hf("./model")
let rows = data.dataset_info("dataset_info.json", name: "rows")
let pairs = data.dataset_info("dataset_info.json", name: "pairs", pairs: true)

let tuned = start |> train.sft(data: rows, loss: "micro_mean", per_device: 2, {options}) with {{ log: 1steps }}
let aligned = start |> train.dpo(pairs: pairs, beta: 0.1, {options}) with {{ log: 1steps }}
output sft = tuned to "out/sft"
output dpo = aligned to "out/dpo"
"""
OPTIONS = ('template: "qwen2_vl", batch: 4, epochs: 2.0, cutoff: 512tok, lr: 1e-3, schedule: "cosine", warmup: 4steps, clip: 1.0, '
           'weight_decay: 0.01, dtype: "f32", seed: 42')


def rows():
    """48 questions on three pictures, replies of one to forty words; as many pairs."""
    words = "left right up down near far red green blue cup bowl knife plate step then take put hold turn open close".split()
    sft, dpo = [], []
    for i in range(48):
        say = lambda n, k: " ".join(words[(i * 7 + j * k) % len(words)] for j in range(n))
        row = {"instruction": f"<image>What stands {say(2, 3)} of the {say(1, 5)}?", "input": say(i % 5, 11), "images": [f"images/img{i % 3}.png"]}
        sft.append({**row, "output": say(1 + i * 5 % 40, 4)})
        dpo.append({**row, "chosen": say(3 + i % 7, 4), "rejected": say(2 + i % 9, 13)})
    return sft, dpo


def prepare(work):
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shutil.copytree(GOLDENS / "model", work / "model")
    shutil.copytree(GOLDENS / "images", work / "images")
    sft, dpo = rows()
    (work / "rows.json").write_text(json.dumps(sft))
    (work / "pairs.json").write_text(json.dumps(dpo))
    columns = {"prompt": "instruction", "query": "input", "images": "images"}
    info = {"rows": {"file_name": "rows.json", "columns": {**columns, "response": "output"}},
            "pairs": {"file_name": "pairs.json", "ranking": True, "columns": {**columns, "chosen": "chosen", "rejected": "rejected"}}}
    (work / "dataset_info.json").write_text(json.dumps(info))
    (work / "agreement.rb2").write_text(RECIPE.format(options=OPTIONS))


def theirs(python, work, stage, **more):
    out = work / f"theirs-{stage}"
    config = {**COMMON, **more, "stage": stage, "model_name_or_path": str(work / "model"), "dataset_dir": str(work), "media_dir": str(work), "output_dir": str(out)}
    (work / f"{stage}.json").write_text(json.dumps(config))
    code = "import sys, json; from llamafactory.train.tuner import run_exp; run_exp(json.load(open(sys.argv[1])))"
    env = {**os.environ, "DISABLE_VERSION_CHECK": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with open(work / f"{stage}.log", "w") as log:
        if subprocess.run([python, "-c", code, work / f"{stage}.json"], stdout=log, stderr=log, env=env, cwd=work).returncode != 0:
            sys.exit(f"LLaMA-Factory failed, see {work / (stage + '.log')}")
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    return [line["loss"] for line in history if "loss" in line]


def ours(work, name):
    lines = (work / "out" / name / "training/log.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if line.get("loss") is not None]


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--work", default=os.path.expanduser("~/.cache/rbpipe-peers"))
    a.add_argument("--python")
    a.add_argument("--rbpipe", default=ROOT / "target/release/rbpipe")
    a = a.parse_args()
    python = a.python
    if not python:
        subprocess.check_call(["bash", HERE / "peers/setup.sh", "lf"], env={**os.environ, "PEERS_WORK": a.work})
        python = pathlib.Path(a.work) / "lf/bin/python"
    work = pathlib.Path(a.work) / "agreement"
    prepare(work)
    subprocess.run([a.rbpipe, "run", "agreement.rb2"], cwd=work, check=True, env={**os.environ, "RBPIPE_CACHE": str(work / "cache")})
    worst = 0.0
    print("| stage | steps | first loss | last loss | apart at most |\n|---|---:|---:|---:|---:|")
    for stage, more in [("sft", {"dataset": "rows"}), ("dpo", {"dataset": "pairs", "pref_beta": 0.1, "pref_loss": "sigmoid"})]:
        peer, own = theirs(python, work, stage, **more), ours(work, stage)
        if len(peer) != len(own):
            sys.exit(f"{stage}: {len(peer)} steps there, {len(own)} here")
        apart = max(abs(x - y) for x, y in zip(peer, own))
        worst = max(worst, apart)
        print(f"| {stage} | {len(own)} | {own[0]:.4f} | {own[-1]:.4f} | {apart:.1e} |", flush=True)
    # Half a unit of the fourth decimal is the rounding alone.
    sys.exit(worst > 1e-4)


if __name__ == "__main__":
    main()
