"""In-context use of picked documents: read before the prompt instead of trained on.

The nearest pick stands next to the prompt, and as many whole picks are taken, nearest first, as leave room for
the longest window of the prompt: every window then sees the same context, and exactly the tokens are scored that
are scored without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.score import Target


@dataclass(frozen=True)
class Context:
    """What is read before a prompt.

    Attributes:
        tokens: int64, shape (T,); empty if not even one document fits.
        n_documents: how many documents it holds.
    """

    tokens: torch.Tensor
    n_documents: int


def fit_context(model: LanguageModel, target: Target, documents: Sequence[torch.Tensor]) -> Context:
    """Take documents, nearest first, while they fit whole; put the nearest last.

    Args:
        model: its number of positions is the room there is.
        target: the prompt, prepared for scoring.
        documents: token ids of the distinct picks, nearest first, each begun by the start token.
    """
    room = model.max_positions - max(len(window.tokens) - 1 for window in target.windows)
    taken: list[torch.Tensor] = []
    for document in documents:
        if len(document) > room:
            break
        room -= len(document)
        taken.append(document)
    if not taken:
        return Context(torch.empty(0, dtype=torch.int64, device=model.device), 0)
    return Context(torch.cat(taken[::-1]), len(taken))


def read_context(model: LanguageModel, context: Context) -> Any:
    """Run the model over a context once; what it keeps of it serves every window.

    Reading is to this arm what training steps are to the others, so it is done in their precision: in bf16 where
    they are. The prompt is scored in fp32 after it, as everywhere.

    Returns:
        The keys and values of every layer, fp32, for :func:`ttft_bench.engine.score.score`; None without documents.
    """
    if context.n_documents == 0:
        return None
    with torch.inference_mode():
        with model.autocast():
            kept = model.module(input_ids=context.tokens[None], use_cache=True, logits_to_keep=1).past_key_values
        for layer in kept.layers if model.precision == "bf16" else ():
            layer.keys, layer.values = layer.keys.float(), layer.values.float()
        return kept


__all__ = ["Context", "fit_context", "read_context"]
