"""What an engine refuses: sequences that no step can train on. And how it is told that memory ran out."""

from __future__ import annotations

import torch

from ttft_bench.engine.model import LanguageModel
from ttft_bench.errors import UsageError


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, told by type or by the allocator's words."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )


__all__ = ["check_sequence", "is_out_of_memory"]
