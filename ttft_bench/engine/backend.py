"""How training steps are executed: one small interface, and the choice between its two implementations.

``eager``
    plain PyTorch, a few lines, on any device: :mod:`ttft_bench.engine.eager`;
``compiled``
    static shapes, torch.compile, CUDA graphs on a GPU: :mod:`ttft_bench.engine.compiled`.

A compiled backend that cannot be built says why, once, and eager steps in.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from ttft_bench.engine.choices import BACKENDS, check_choice
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.settings import Settings
from ttft_bench.errors import BackendError


class Backend(ABC):
    """Computes gradients and applies them, on one model, again and again from the same weights.

    Attributes:
        compile_s: seconds spent so far in compiling and capturing; never inside a training step.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.compile_s = 0.0

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

    @abstractmethod
    def restore(self) -> None:
        """Bring weights and optimizer state back to what they were at first, bit for bit."""


def resolve_backend(name: str, device: torch.device) -> str:
    """Turn ``auto`` into ``compiled`` on CUDA and ``eager`` elsewhere."""
    check_choice("backend", name, BACKENDS)
    if name != "auto":
        return name
    return "compiled" if device.type == "cuda" else "eager"


def open_backend(
    name: str, model: LanguageModel, settings: Settings, options: Any = None, like: Backend | None = None
) -> Backend:
    """Make the backend ``name``, or the eager one with a warning if it cannot be built.

    Args:
        name: auto | eager | compiled.
        model: what is finetuned.
        settings: how.
        options: of the compiled backend; see :class:`ttft_bench.engine.compiled.Options`.
        like: the backend of a copy of the model; what it compiled is used here too.
    """
    from ttft_bench.engine.eager import EagerBackend

    if resolve_backend(name, model.device) == "compiled":
        from ttft_bench.engine.compiled import CompiledBackend

        try:
            return CompiledBackend(model, settings, options, like if isinstance(like, CompiledBackend) else None)
        except BackendError as error:
            warn_fallback(error)
    return EagerBackend(model, settings)


def warn_fallback(error: BackendError) -> None:
    """Say why the compiled backend is not used."""
    warnings.warn(f"{error}; steps run eagerly (--backend eager avoids the attempt)", RuntimeWarning, stacklevel=3)


__all__ = ["Backend", "open_backend", "resolve_backend", "warn_fallback"]
