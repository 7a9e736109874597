"""How long a training step takes, by the length of what it trains on: measured once, then read off."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.schedule import Step

#: Steps that are timed of each kind, after one that is not.
ROUNDS = 2


@dataclass(frozen=True)
class Pace:
    """Seconds of a step.

    Attributes:
        lengths: tokens of the sequences that were measured, ascending.
        fresh_s: seconds of a step that computes a gradient, for each of them.
        reused_s: seconds of a step that applies the gradient in place again.
    """

    lengths: tuple[int, ...]
    fresh_s: tuple[float, ...]
    reused_s: float

    def step_s(self, step: Step[Any], length: int) -> float:
        """Seconds of one step on ``length`` tokens: between what was measured on a line, beyond in proportion."""
        if not step.fresh:
            return self.reused_s
        seconds = float(np.interp(length, self.lengths, self.fresh_s))
        return seconds * max(1.0, length / self.lengths[-1])

    def total_s(self, steps: Sequence[Step[Any]], length_of: Callable[[Any], int]) -> float:
        """Seconds of a schedule.

        Args:
            steps: the schedule.
            length_of: tokens of an item.
        """
        return sum(self.step_s(step, length_of(step.item)) for step in steps)


def measure_pace(engine: Engine, sequences: Sequence[torch.Tensor]) -> Pace:
    """Time real steps on the shortest and the longest of these sequences, and on one of every shape between.

    Each is trained on once untimed, then :data:`ROUNDS` times by the clock; the mean is taken. Weights are restored.

    Raises:
        NonFiniteError: a loss is NaN or infinite.
    """
    shapes = engine.backend.representatives(sequences)
    chosen = {len(sequence): sequence for sequence in (min(sequences, key=len), *shapes, max(sequences, key=len))}
    items = dict(enumerate(chosen[length] for length in sorted(chosen)))
    with engine.adaptation() as adaptation:

        def timed(step: Step[Hashable]) -> float:
            adaptation.advance([step], items)
            before = adaptation.finetune_s
            for _ in range(ROUNDS):
                adaptation.advance([step], items)
            return (adaptation.finetune_s - before) / ROUNDS

        fresh_s = tuple(timed(Step[Hashable](item, fresh=True)) for item in items)
        reused_s = timed(Step[Hashable](len(items) - 1, fresh=False))
    return Pace(tuple(sorted(chosen)), fresh_s, reused_s)


__all__ = ["ROUNDS", "Pace", "measure_pace"]
