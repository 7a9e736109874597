"""Do picks pull where the prompt wants to go? The cosine of their gradients, at the untouched weights.

Gradients are folded to a few thousand numbers by a count sketch (Charikar, Chen & Farach-Colton 2002; as feature
hashing: Weinberger et al. 2009): every coordinate is added, with a random sign, to one of ``size`` places. Places are
dealt out by a random permutation, so that each gets equally many and adding up is one sum over columns, in the same
order every time. The sketch of a sum is the sum of sketches, and cosines come out within about ``1 / sqrt(size)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from ttft_bench.engine.frozen import FrozenBlocks
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.settings import LoRA, parse_trainable
from ttft_bench.engine.trainable import trainable_for_now
from ttft_bench.errors import UsageError
from ttft_bench.seeds import derive_seed

#: Places of a sketch: cosines are off by about 0.008.
SIZE = 1 << 14
#: Tokens, padding included, that go through the frozen blocks at once: enough to be arithmetic and not launches.
BATCH_TOKENS = 1 << 14


class GradientSketcher:
    """Sketches of gradients of one model.

    Args:
        model: stays as it is; an Engine may have it too.
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
        self._weights = weights
        with trainable_for_now(model.module, weights) as self._parameters:
            self._frozen = FrozenBlocks(model.module)
        count = sum(parameter.numel() for parameter in self._parameters)
        generator = torch.Generator().manual_seed(derive_seed("sketch", str(count), size))
        self._padding = -count % size
        self._order = torch.randperm(count + self._padding, generator=generator).to(model.device)
        signs = torch.randint(2, (count,), generator=generator, dtype=torch.int8) * 2 - 1
        self._signs = signs.to(model.device)

    def sketch(self, sequence: torch.Tensor) -> torch.Tensor:
        """The gradient of the mean cross-entropy of ``sequence``.

        Args:
            sequence: int64 token ids, shape (T,), T >= 2, on the model's device.

        Returns:
            float64, shape (size,), on the CPU.
        """
        return self.sketch_all([sequence])[0]

    def sketch_all(self, sequences: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What :meth:`sketch` gives for every sequence, but for rounding: they share passes through frozen blocks."""
        with trainable_for_now(self.model.module, self._weights):
            return self._sketch_all(sequences)

    def _sketch_all(self, sequences: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        found: dict[int, torch.Tensor] = {}
        for some in _batches([len(sequence) - 1 for sequence in sequences]):
            chosen = [sequences[index] for index in some]
            contexts: list[AbstractContextManager[None]] = [nullcontext() for _ in chosen]
            if self._frozen.below:
                states = self._frozen.run([sequence[:-1] for sequence in chosen])
                contexts = [self._frozen.replaced_by(hidden) for hidden in states]
            folded = []
            for sequence, context in zip(chosen, contexts, strict=True):
                with context:
                    folded.append(self._fold(self._gradients(sequence)))
            # One copy a batch: a copy a document would wait for the device every time.
            found.update(zip(some, torch.stack(folded).cpu(), strict=True))
        return [found[index] for index in range(len(sequences))]

    def _gradients(self, sequence: torch.Tensor) -> Sequence[torch.Tensor | None]:
        logits = self.model.module(input_ids=sequence[None, :-1], use_cache=False).logits[0]
        loss = cross_entropy(logits.float(), sequence[1:])
        return torch.autograd.grad(loss, self._parameters, allow_unused=True)

    def _fold(self, gradients: Sequence[torch.Tensor | None]) -> torch.Tensor:
        flat = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).reshape(-1)
                for p, g in zip(self._parameters, gradients, strict=True)
            ]
        )
        signed = torch.nn.functional.pad(flat * self._signs, (0, self._padding))
        return signed[self._order].view(-1, self.size).sum(0, dtype=torch.float64)


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices by length, as many together as make at most ``BATCH_TOKENS`` when padded to the longest."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


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
