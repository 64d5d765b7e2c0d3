"""Makes this folder: tiny decoders of text with reference logits, conversations rendered by their templates, and packed numbers.

Needs torch, transformers 4.57.6, tokenizers, gguf 0.19.0. Run: python make.py
"""
import json
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType as Q, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

HERE = Path(__file__).parent
LLAMA3 = """{{- bos_token }}{%- for message in messages %}{{- '<|start|>' + message['role'] + '<|end|>\n\n' + message['content'] | trim + '<|eot|>' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|start|>assistant<|end|>\n\n' }}{%- endif %}"""
CHATML = """{% for message in messages %}
    {% if loop.first and messages[0]['role'] != 'system' %}
{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}
    {%- endif %}
    {%- if message['content'].startswith('!') %}{{ raise_exception('no shouting') }}{% endif %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'].strip() + '<|im_end|>\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
TALKS = [
    [("user", "What is red?"), ("assistant", "The cup.")],
    [("system", "You see a table."), ("user", "Where is it? "), ("assistant", "left"), ("user", "And now?"), ("assistant", "right of the cup")],
]


def tokenizer(folder, template, bos, eos, special):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(alphabet)}
    merges = [("t", "h"), ("th", "e"), ("c", "u"), ("cu", "p")]
    for a, b in merges:
        vocab[a + b] = len(vocab)
    inner = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(special)
    out = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=bos, eos_token=eos, pad_token=special[0])
    out.chat_template = template
    out.save_pretrained(folder)
    return out


def decoder(name, model, tok):
    folder = HERE / name
    torch.manual_seed(7)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3 if p.dim() > 1 else 1.0)
    model.generation_config.eos_token_id = [tok.eos_token_id]
    model.save_pretrained(folder)
    chats = []
    for talk in TALKS:
        messages = [{"role": r, "content": c} for r, c in talk]
        prompt = tok.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        chats.append({"messages": talk, "prompt": prompt, "whole": tok.apply_chat_template(messages, tokenize=False)})
    (folder / "chats.json").write_text(json.dumps(chats, indent=1))
    ids = torch.tensor([[i * 7 % 250 for i in range(40)]])
    with torch.no_grad():
        logits = model(ids).logits[0].numpy()
        made = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None)[0, ids.shape[1]:].numpy()
    save_file({"ids": ids[0].numpy(), "logits": logits, "greedy": made}, HERE / f"{name}.safetensors")


def packed():
    rng = np.random.default_rng(3)
    writer, expected = GGUFWriter(HERE / "blocks.gguf", "llama"), {}
    writer.add_uint32("some.count", 3)
    writer.add_float32("some.number", 1e-5)
    writer.add_array("some.words", ["a", "b"])
    for kind in [Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q4_K, Q.Q5_K, Q.Q6_K]:
        block, width = GGML_QUANT_SIZES[kind]
        columns = 256
        raw = rng.integers(0, 256, (3, columns // block, width), dtype=np.uint8)
        # Scales are halves: keep them finite and of everyday size.
        scale = lambda: rng.normal(0, 0.1, raw.shape[:2]).astype(np.float16).view(np.uint8).reshape(*raw.shape[:2], 2)
        places = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
        for at in places.get(kind, []):
            raw[:, :, at : at + 2] = scale()
        if kind in (Q.F32, Q.F16, Q.BF16):
            x = rng.normal(0, 1, (3, columns)).astype(np.float32)
            raw = {Q.F32: x, Q.F16: x.astype(np.float16), Q.BF16: (x.view(np.uint32) >> 16).astype(np.uint16)}[kind].view(np.uint8)
        raw = raw.reshape(3, -1)
        writer.add_tensor(kind.name, raw, raw_dtype=kind)
        expected[kind.name] = np.ascontiguousarray(dequantize(raw, kind).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, HERE / "blocks.safetensors")


def gguf_of(name, model, tok):
    """The Llama as llama.cpp's converter would write it: rows of q and k in pairs, numbers in Q8_0 or F32."""
    c, writer = model.config, GGUFWriter(HERE / f"{name}.gguf", "llama")
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    vocab = json.loads((HERE / name / "tokenizer.json").read_text())
    tokens = {**vocab["model"]["vocab"], **{t["content"]: t["id"] for t in vocab["added_tokens"]}}
    special = {t["id"] for t in vocab["added_tokens"]}
    order = sorted(tokens, key=tokens.get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(order)
    writer.add_token_types([3 if tokens[t] in special else 1 for t in order])
    writer.add_token_merges([" ".join(m) for m in vocab["model"]["merges"]])
    writer.add_bos_token_id(tok.bos_token_id)
    writer.add_eos_token_id(tok.eos_token_id)
    writer.add_chat_template(tok.chat_template)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}
    for key, value in model.state_dict().items():
        x = value.numpy().astype(np.float32)
        if key.startswith("model.layers."):
            _, _, block, rest = key.split(".", 3)
            part, kind = rest.rsplit(".", 1)
            heads = {"self_attn.q_proj": c.num_attention_heads, "self_attn.k_proj": c.num_key_value_heads}.get(part)
            if heads:
                x = x.reshape(heads, 2, x.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(x.shape)
            key = f"blk.{block}.{names[part]}.{kind}"
        else:
            key = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}[key]
        writer.add_tensor(key, np.ascontiguousarray(x))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=272,
             max_position_embeddings=256, rms_norm_eps=1e-5)
tok = tokenizer(HERE / "llama", LLAMA3, "<|begin|>", "<|eot|>", ["<|pad|>", "<|begin|>", "<|start|>", "<|end|>", "<|eot|>"])
rope = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
decoder("llama", LlamaForCausalLM(LlamaConfig(**shape, rope_theta=500.0, rope_scaling=rope)), tok)
tok = tokenizer(HERE / "qwen2", CHATML, None, "<|im_end|>", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
decoder("qwen2", Qwen2ForCausalLM(Qwen2Config(**shape, rope_theta=1000.0, tie_word_embeddings=True)), tok)
tok = tokenizer(HERE / "plain", LLAMA3, "<|begin|>", "<|eot|>", ["<|pad|>", "<|begin|>", "<|start|>", "<|end|>", "<|eot|>"])
plain = LlamaForCausalLM(LlamaConfig(**shape, rope_theta=500.0))
decoder("plain", plain, tok)
gguf_of("plain", plain, tok)
packed()
