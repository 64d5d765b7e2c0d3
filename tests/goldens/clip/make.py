"""Makes this folder: a tiny CLIP and a tiny SigLIP with random weights, and what they make of texts and pictures.

Needs torch, torchvision, transformers 4.57.6, tokenizers, pillow 12.3 (13 resizes tall pictures columns first). Run: python make.py
"""
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel

HERE = Path(__file__).parent
PICTURES = [HERE.parent / "dev/images" / name for name in ("img0.png", "img1.png", "img2.png")]
TEXTS = ["a red cup", "take the cup and put it into the drawer beside the red can, then close the drawer", "", "open"]
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def tokenizer(folder, start, end, pad, length):
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for pair in ("re", "red", "cu", "cup"):
        vocab[pair] = len(vocab)
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[("r", "e"), ("re", "d"), ("c", "u"), ("cu", "p")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.add_special_tokens([t for t in (pad, start, end) if t])
    ids = [(t, inner.token_to_id(t)) for t in (start, end) if t]
    inner.post_processor = processors.TemplateProcessing(single=f"{start + ' ' if start else ''}$A {end}", special_tokens=ids)
    out = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=end, pad_token=pad, model_max_length=length)
    out.save_pretrained(folder)
    return out


def make(name, model, tok, processor, length):
    torch.manual_seed(5)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2 if p.dim() > 1 else 0.5)
    model.eval().save_pretrained(HERE / name)
    processor.save_pretrained(HERE / name)
    pixels = processor([Image.open(p).convert("RGB") for p in PICTURES], return_tensors="pt")["pixel_values"]
    out = {"pixels": pixels}
    with torch.no_grad():
        out["pictures"] = torch.nn.functional.normalize(model.get_image_features(pixels), dim=-1)
        texts = []
        for text in TEXTS:
            ids = tok(text, truncation=True, max_length=length, padding="max_length" if name == "siglip" else False, return_tensors="pt")["input_ids"]
            texts.append(torch.nn.functional.normalize(model.get_text_features(ids), dim=-1))
            logits = model(input_ids=ids, pixel_values=pixels).logits_per_text
            out.setdefault("logits", []).append(logits)
        out["texts"] = torch.cat(texts)
    out["logits"] = torch.cat(out["logits"])
    save_file({k: v.float().contiguous() for k, v in out.items()}, HERE / f"{name}.safetensors")


def main():
    for name in ("clip", "siglip"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    tok = tokenizer(HERE / "clip", "<start>", "<end>", "<end>", 24)
    text = {**SHAPE, "vocab_size": len(tok), "max_position_embeddings": 24, "eos_token_id": tok.eos_token_id, "bos_token_id": 0, "pad_token_id": 1}
    vision = {**SHAPE, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    make("clip", CLIPModel(config), tok, processor, 24)
    tok = tokenizer(HERE / "siglip", "", "</s>", "<pad>", 16)
    text = {**SHAPE, "vocab_size": len(tok), "max_position_embeddings": 16, "projection_size": 32}
    config = SiglipConfig(text_config=text, vision_config={**SHAPE, "image_size": 32, "patch_size": 8})
    make("siglip", SiglipModel(config), tok, SiglipImageProcessor(size={"height": 32, "width": 32}, resample=2), 16)


main()
