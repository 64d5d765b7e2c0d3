#!/usr/bin/env python3
"""What rbpipe trains and writes loads in transformers, and means the same there.

python3 tests/parity/roundtrip.py RBPIPE [--work DIR]

Makes a tiny Qwen2.5-VL, trains it by SFT on pairs of the tabletop with pictures, and writes it. Then the log-probabilities of replies by
`train.logps` are compared with those that transformers computes with its own tokenizer, template, processor and model from that folder:
as f32, and as bf16 weights computed with in f32. Needs torch 2.13 and transformers 4.57.6, and RBPIPE an engine.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLETOP = ROOT / "recipes/data/tabletop"
RECIPE = """recipe "roundtrip" requires ">=0.1"
import std.{data, model, train}
param seed: Int = 7
schema Pair { id: Str, prompt: Str, chosen: Str, rejected: Str, images: [Image] }
let pairs = data.jsonl("PAIRS", as: Pair, media: "MEDIA")
let vocabulary = train.tokenizer(pairs, on: [.prompt, .chosen, .rejected], vocab: 600)
let blank = model.random(config: "config.json", tokenizer: vocabulary, dtype: "DTYPE")
stage tuned = blank |> train.dpo(pairs: pairs, batch: 8, max_steps: 6steps, lr: 1e-3, dtype: "DTYPE")
output folder = tuned to "model"
output logps = tuned |> train.logps(pairs: pairs) to "logps.jsonl"
"""
CONFIG = {
    "model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"], "hidden_act": "silu",
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0, "use_sliding_window": False,
    "tie_word_embeddings": True, "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    "vision_config": {
        "model_type": "qwen2_5_vl", "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "in_chans": 3,
        "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "tokens_per_second": 2, "window_size": 112,
        "out_hidden_size": 64, "hidden_act": "silu", "fullatt_block_indexes": [1],
    },
}


def theirs(folder, model, processor, row, reply):
    pictures = [Image.open(folder / image).convert("RGB") for image in row["images"]]
    shown = [{"type": "image"} for _ in pictures]
    asked = [{"role": "user", "content": [*shown, {"type": "text", "text": row["prompt"]}]}]
    prompt = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    # What the template writes of a reply: its mark and a line end too.
    inputs = processor(text=[prompt + reply + "<|im_end|>\n"], images=pictures, return_tensors="pt")
    start = processor(text=[prompt], images=pictures, return_tensors="pt")["input_ids"].shape[1]
    with torch.no_grad():
        logits = model(**inputs).logits[0, start - 1 : -1].float()
    ids = inputs["input_ids"][0, start:]
    return torch.log_softmax(logits, -1).gather(1, ids[:, None]).sum().item()


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("rbpipe")
    a.add_argument("--work")
    a = a.parse_args()
    torch.set_num_threads(1)
    worst = 0.0
    for dtype in ["f32", "bf16"]:
        with tempfile.TemporaryDirectory(dir=a.work) as folder:
            folder = pathlib.Path(folder)
            lines = (TABLETOP / "pairs/fail_fix.jsonl").read_text().splitlines()[:24]
            (folder / "pairs.jsonl").write_text("".join(line + "\n" for line in lines))
            (folder / "config.json").write_text(json.dumps(CONFIG))
            text = RECIPE.replace("PAIRS", "pairs.jsonl").replace("MEDIA", str(TABLETOP)).replace("DTYPE", dtype)
            (folder / "recipe.rb2").write_text(text)
            subprocess.check_call([a.rbpipe, "run", "recipe.rb2"], cwd=folder, stdout=subprocess.DEVNULL)
            model, said = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                folder / "model", dtype=torch.float32, attn_implementation="eager", output_loading_info=True
            )
            strange = {name: found for name, found in said.items() if found}
            if strange:
                sys.exit(f"{dtype}: transformers says of the folder: {strange}")
            processor = AutoProcessor.from_pretrained(folder / "model")
            rows = [json.loads(line) for line in (folder / "logps.jsonl").read_text().splitlines()]
            apart = max(
                abs(theirs(folder, model.eval(), processor, row, row[which]) - row[f"logp_{which}"])
                for row in rows
                for which in ["chosen", "rejected"]
            )
            mean = sum(row["logp_chosen"] for row in rows) / len(rows)
            print(f"{dtype}: {2 * len(rows)} replies, mean log-probability {mean:.2f}, apart at most {apart:.1e} nats")
            worst = max(worst, apart)
    sys.exit(0 if worst < 1e-2 else "they are not the same")


if __name__ == "__main__":
    main()
