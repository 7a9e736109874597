"""How training steps are executed: one small interface with two implementations.

``eager``
    plain PyTorch, a few lines, on any device: :mod:`ttft_bench.engine.eager`;
``compiled``
    static shapes, torch.compile, CUDA graphs on a GPU: :mod:`ttft_bench.engine.compiled`.

Which of them is opened: :mod:`ttft_bench.engine.opening`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch


class Backend(ABC):
    """Computes gradients and applies them, on one model, again and again from the same weights.

    Attributes:
        compile_s: seconds spent so far in compiling and capturing; never inside a training step.
        repeatable: whether the same steps give the same bits, whatever else the device is doing.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.compile_s = 0.0
        self.repeatable = True

    def describe(self) -> dict[str, str]:
        """What was decided on this machine about how steps are executed; a run's manifest keeps it."""
        return {}

    @abstractmethod
    def prepare(self, sequences: Sequence[torch.Tensor]) -> Any:
        """Make a batch of token sequences, each int64 of shape (T,), T >= 2; build what its shape needs.

        Not part of a step: like tokenisation, it happens outside the clock, once for every document.

        Raises:
            BackendError: the shape cannot be built.
        """

    def representatives(self, sequences: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """A sequence for every shape that steps on ``sequences`` run in, the longest last."""
        return sorted(sequences, key=len)[-1:]

    @abstractmethod
    def gradient(self, batch: Any, loss_weight: float = 1.0) -> torch.Tensor:
        """Put the gradient of ``loss_weight`` times the loss in place.

        Returns:
            The unweighted loss in nats per token (each item counts the same), a scalar on the device.
        """

    @abstractmethod
    def update(self, lr: float) -> None:
        """Take one optimizer step with the gradient in place, which stays there."""

    def fresh(self, batch: Any, lr: float, loss_weight: float = 1.0) -> torch.Tensor:
        """A whole step: :meth:`gradient`, then :meth:`update`; a backend may let them overlap."""
        loss = self.gradient(batch, loss_weight)
        self.update(lr)
        return loss

    @abstractmethod
    def restore(self) -> None:
        """Bring weights and optimizer state back to what they were at first, bit for bit."""

    @abstractmethod
    def is_untouched(self) -> bool:
        """Whether the trained weights are what :meth:`restore` makes them."""


__all__ = ["Backend"]
