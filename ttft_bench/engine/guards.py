"""What an engine refuses: sequences that no step can train on, and a model that is being trained in another way."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import torch

from ttft_bench.engine.model import LanguageModel
from ttft_bench.errors import UsageError

if TYPE_CHECKING:
    from ttft_bench.engine.finetune import Engine


def check_sequence(model: LanguageModel, sequence: torch.Tensor) -> None:
    """Refuse what no step can train on: on a GPU a token id out of range would end the process's use of it."""
    limit, vocabulary = model.max_positions + 1, model.module.get_input_embeddings().num_embeddings
    if sequence.dim() != 1 or sequence.dtype != torch.int64 or not 2 <= len(sequence) <= limit:
        raise UsageError(
            f"a sequence must be int64 token ids of shape (T,) with T in 2..{limit} for {model.name}, got "
            f"{sequence.dtype} of shape {tuple(sequence.shape)}"
        )
    low, high = (int(value) for value in torch.aminmax(sequence))
    if low < 0 or high >= vocabulary:
        raise UsageError(f"token ids must be in 0..{vocabulary - 1} for {model.name}, got {low}..{high}")


def claim(engine: Engine) -> None:
    """Let one kind of training at a time have a model: another one would freeze or move weights under its feet."""
    module = engine.model.module
    last = getattr(module, "_ttft_engine", None)
    owner: Engine | None = last() if last is not None else None
    if owner is not None and owner.settings.trainable != engine.settings.trainable:
        raise UsageError(
            f"{engine.model.name} is being trained as {owner.settings.trainable} by another Engine, which "
            f"{engine.settings.trainable} would disturb: drop that Engine first, or load the model again"
        )
    module._ttft_engine = weakref.ref(engine)


__all__ = ["check_sequence", "claim"]
