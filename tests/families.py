"""Tiny causal language models of several families with random weights."""

from __future__ import annotations

import torch
import transformers

SIZES = {"vocab_size": 257, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LONGER = {**SIZES, "intermediate_size": 48, "max_position_embeddings": 64}
NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
FAMILIES = {
    "gpt2": ("GPT2", {"vocab_size": 257, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "llama": ("Llama", {**LONGER, "num_key_value_heads": 1}),
    "gpt-neox": ("GPTNeoX", LONGER),
    "qwen2": ("Qwen2", {**LONGER, "num_key_value_heads": 1}),
    "phi": ("Phi", LONGER),
    "qwen3": ("Qwen3", {**LONGER, "num_key_value_heads": 1, "head_dim": 16}),
    "olmo2": ("Olmo2", {**LONGER, "num_key_value_heads": 1}),
}
HEADS = {"GPT2": "GPT2LMHeadModel"}


def build(family, tied):
    name, sizes = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**sizes, **NO_IDS, tie_word_embeddings=tied)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = getattr(transformers, HEADS.get(name, f"{name}ForCausalLM"))(config).eval()
    assert (module.get_output_embeddings().weight is module.get_input_embeddings().weight) == tied
    return module


def weights(module):
    return torch.cat([p.detach().double().reshape(-1) for p in module.parameters()])


class Numbers:
    """Stands in for a tokenizer where tokens are given as numbers."""

    bos_token = eos_token = None

    def __init__(self, size):
        self.size = size

    def get_vocab(self):
        return {str(i): i for i in range(self.size)}
