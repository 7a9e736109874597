"""Do picks pull where the prompt wants to go? The cosine of their gradients, at the untouched weights.

Gradients are folded to a few thousand numbers by a count sketch (Charikar, Chen & Farach-Colton 2002; as feature
hashing: Weinberger et al. 2009): every coordinate is added, with a random sign, to a random one of ``size``
places. The sketch of a sum is the sum of sketches, and cosines come out within about ``1 / sqrt(size)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.settings import LoRA, parse_trainable
from ttft_bench.engine.trainable import select_trainable
from ttft_bench.errors import UsageError
from ttft_bench.seeds import derive_seed

#: Places of a sketch: cosines are off by about 0.008.
SIZE = 1 << 14


class GradientSketcher:
    """Sketches of gradients of one model.

    Args:
        model: stays as it is, apart from which of its weights want gradients.
        weights: spec of the weights whose gradient is taken; ``last[k=1]``, the last block, is cheap and tells most.
        size: places of a sketch.

    Raises:
        UsageError: adapters, whose gradients are half zero before a first step.
    """

    def __init__(self, model: LanguageModel, weights: str = "last[k=1]", size: int = SIZE) -> None:
        if isinstance(parse_trainable(weights), LoRA):
            raise UsageError("gradients are aligned on weights of the model: last[k=...], bias+norm or full, not lora")
        self.model = model
        self.size = size
        self._parameters = select_trainable(model.module, weights)
        count = sum(parameter.numel() for parameter in self._parameters)
        generator = torch.Generator().manual_seed(derive_seed("sketch", str(count), size))
        self._places = torch.randint(size, (count,), generator=generator)
        self._signs = torch.randint(2, (count,), generator=generator, dtype=torch.int8) * 2 - 1

    def sketch(self, sequence: torch.Tensor) -> torch.Tensor:
        """The gradient of the mean cross-entropy of ``sequence``.

        Args:
            sequence: int64 token ids, shape (T,), T >= 2, on the model's device.

        Returns:
            float64, shape (size,), on the CPU.
        """
        logits = self.model.module(input_ids=sequence[None, :-1], use_cache=False).logits[0]
        loss = cross_entropy(logits.float(), sequence[1:])
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        flat = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).reshape(-1)
                for p, g in zip(self._parameters, gradients, strict=True)
            ]
        )
        # On the CPU, where index_add_ adds in order: the same bits every time.
        folded = torch.zeros(self.size, dtype=torch.float64)
        return folded.index_add_(0, self._places, (flat.cpu() * self._signs).double())


def cosine(prompt: torch.Tensor, picks: Mapping[Any, torch.Tensor], counts: Mapping[Any, int]) -> float | None:
    """Cosine of the prompt's gradient and the sum of the picks', each as often as it was picked.

    Args:
        prompt: sketch of the prompt's gradient, shape (size,).
        picks: pick -> sketch of its gradient.
        counts: pick -> how often.

    Returns:
        Between -1 and 1; None where one of the two is zero or not finite.
    """
    total = torch.stack([count * picks[pick] for pick, count in counts.items()]).sum(0)
    norms = float(prompt.norm() * total.norm())
    if not 0 < norms < float("inf"):
        return None
    return max(-1.0, min(1.0, float(prompt @ total) / norms))


__all__ = ["SIZE", "GradientSketcher", "cosine"]
