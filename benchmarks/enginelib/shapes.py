"""Models of real shape with random weights, made here without a network, and the two numbers of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ttft_bench.engine.model import LanguageModel


@dataclass(frozen=True)
class Shape:
    """A model's shape; ``tokens`` is the length at which it is measured unless said otherwise."""

    name: str
    family: str
    width: int
    layers: int
    heads: int
    vocabulary: int
    tokens: int
    inner: int = 0
    key_heads: int = 0


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("gpt2", "gpt2", 768, 12, 12, 50257, 1024),
        Shape("gpt2-medium", "gpt2", 1024, 24, 16, 50257, 1024),
        Shape("gpt2-large", "gpt2", 1280, 36, 20, 50257, 1024),
        Shape("smollm2-135m", "llama", 576, 30, 9, 49152, 512, inner=1536, key_heads=3),
        Shape("tiny-gpt2", "gpt2", 64, 2, 2, 517, 64),
        Shape("tiny-llama", "llama", 64, 2, 4, 512, 48, inner=128, key_heads=2),
    )
}


def build(shape: Shape, device: torch.device, precision: str) -> LanguageModel:
    """A model of ``shape``; the same weights every time."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    positions = max(1024, shape.tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: Any
        if shape.family == "gpt2":
            config: Any = GPT2Config(
                vocab_size=shape.vocabulary,
                n_positions=positions,
                n_embd=shape.width,
                n_layer=shape.layers,
                n_head=shape.heads,
                bos_token_id=0,
                eos_token_id=0,
            )
            module = GPT2LMHeadModel(config)
        else:
            config = LlamaConfig(
                vocab_size=shape.vocabulary,
                hidden_size=shape.width,
                intermediate_size=shape.inner,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                num_key_value_heads=shape.key_heads,
                max_position_embeddings=positions,
                tie_word_embeddings=True,
                bos_token_id=0,
                eos_token_id=0,
            )
            module = LlamaForCausalLM(config)
    module.to(device).eval()
    return LanguageModel(shape.name, "random", module, None, None, None, positions, device, precision)


def sequences(shape: Shape, lengths: list[int], device: torch.device) -> dict[int, torch.Tensor]:
    """Random token ids of these lengths, one more token each than the inputs of a step."""
    generator = torch.Generator().manual_seed(1)
    return {
        index: torch.randint(1, shape.vocabulary, (length + 1,), generator=generator).to(device)
        for index, length in enumerate(lengths)
    }


def count_weights(model: LanguageModel) -> int:
    """Trained weights."""
    return sum(parameter.numel() for parameter in model.module.parameters())


def step_operations(shape: Shape, model: LanguageModel, tokens: int) -> float:
    """Floating-point operations of forward and backward pass.

    6 per token and weight of a matrix product (2 forward, 4 backward), the output head among them, and
    6 T^2 d per layer of causal attention (half of the full square).
    """
    # The tied embedding counts once, as the head; position embeddings multiply nothing.
    positional = model.module.config.n_positions * shape.width if shape.family == "gpt2" else 0
    matrices = count_weights(model) - positional
    return 6.0 * tokens * matrices + 6.0 * tokens**2 * shape.width * shape.layers


#: An update reads weight, gradient and two moments and writes weight and two moments, each 4 bytes; with
#: half-precision gradient and shadow 2 + 2 of them take the place of 4: the same 28.
UPDATE_BYTES = 28
#: A restore reads and writes every weight once; a half-precision shadow adds half of that.
RESTORE_BYTES = {"fp32": 8, "tf32": 8, "bf16": 12}
