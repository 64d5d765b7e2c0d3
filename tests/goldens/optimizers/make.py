"""Makes adafactor.json and schedules.json beside it, with transformers 4.57.6 and torch 2.13.0 on a CPU. Vectors do not decay.

usage: python make.py
"""
import json
import math
from pathlib import Path

import torch
from torch.optim import SGD
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.optimization import Adafactor, get_scheduler

HERE = Path(__file__).parent
STEPS, LR, DECAY = 8, 1e-3, 0.01


def weights():
    """Updates of single tensors by gradients that are written down as a formula: a matrix, a vector, matrices in matrices, a row."""
    cases = []
    for shape in ([5, 7], [6], [3, 2, 4, 5], [1, 9]):
        n = math.prod(shape)
        at = torch.arange(n, dtype=torch.float64)
        p = torch.nn.Parameter(torch.sin(at * 0.7).float().view(shape))
        rule = Adafactor([p], lr=0.05, scale_parameter=False, relative_step=False, weight_decay=0.1 if p.dim() > 1 else 0.0)
        after = []
        for step in range(1, 6):
            p.grad = (torch.cos(at * 0.3 + step) * 10.0 ** (step - 3)).float().view(shape)
            rule.step()
            after.append(p.detach().flatten().tolist())
        cases.append({"shape": shape, "lr": 0.05, "weight_decay": 0.1, "after": after})
    return cases


def training():
    """The losses of a tiny model that learns six rows by heart, and the norms of what it learned."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = HERE.parent / "dev" / "model"
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": DECAY},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    rule = Adafactor(groups, lr=LR, scale_parameter=False, relative_step=False)
    rows = [[505, 40 + row, 140 + row, 40 + row, 506] for row in range(6)]
    ids = torch.tensor(rows)
    labels = ids.clone()
    labels[:, :2] = -100
    losses = []
    for _ in range(STEPS):
        model.zero_grad(set_to_none=True)
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        loss.backward()
        rule.step()
        losses.append(loss.item())
    norms = {}
    for name, p in model.named_parameters():
        if p.grad is not None:
            norms[name.replace("model.language_model.", "model.")] = p.detach().norm().item()
    return {"steps": STEPS, "lr": LR, "weight_decay": DECAY, "loss": losses, "norms": norms}


def schedules():
    tables = []
    for name, more in [
        ("cosine", {}),
        ("linear", {}),
        ("constant_with_warmup", {}),
        ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
        ("warmup_stable_decay", {"num_decay_steps": 7, "decay_type": "linear"}),
        ("warmup_stable_decay", {"num_decay_steps": 5, "decay_type": "linear", "min_lr_ratio": 0.2}),
    ]:
        # With a floor, its WSD warms up from there and not from 0.
        for warmup, total in [(0, 12)] if "min_lr_ratio" in more else [(0, 12), (4, 30)]:
            rule = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-5)
            chosen = get_scheduler(name, rule, warmup, total, scheduler_specific_kwargs=dict(more))
            rates = []
            for _ in range(total):
                rates.append(rule.param_groups[0]["lr"])
                rule.step()
                chosen.step()
            table = {"name": name, "warmup": warmup, "total": total, "base": 2e-5, "lr": rates}
            table["floor"] = more.get("min_lr_rate", more.get("min_lr_ratio", 0.0))
            table["decay"] = more.get("num_decay_steps", 0)
            tables.append(table)
    return tables


if __name__ == "__main__":
    (HERE / "adafactor.json").write_text(json.dumps({"weights": weights(), "training": training()}) + "\n")
    (HERE / "schedules.json").write_text(json.dumps(schedules()) + "\n")
