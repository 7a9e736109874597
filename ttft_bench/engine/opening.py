"""The choice between the backends: a compiled one that cannot be built says why, once, and eager steps in."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from ttft_bench.engine.backend import Backend
from ttft_bench.engine.choices import BACKENDS, check_choice
from ttft_bench.engine.eager import EagerBackend
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.settings import Settings
from ttft_bench.errors import BackendError


def resolve_backend(name: str, device: torch.device) -> str:
    """Turn ``auto`` into ``compiled`` on CUDA and ``eager`` elsewhere."""
    check_choice("backend", name, BACKENDS)
    if name != "auto":
        return name
    return "compiled" if device.type == "cuda" else "eager"


def open_backend(
    name: str,
    model: LanguageModel,
    settings: Settings,
    options: Any = None,
    like: Backend | None = None,
    told: set[str] | None = None,
) -> Backend:
    """Make the backend ``name``, or the eager one with a warning if it cannot be built.

    Args:
        name: auto | eager | compiled.
        model: what is finetuned.
        settings: how.
        options: of the compiled backend; see :class:`ttft_bench.engine.compiled.Options`.
        like: the backend of a copy of the model; what it compiled is used here too.
        told: as for :func:`warn_fallback`.
    """
    if resolve_backend(name, model.device) == "compiled":
        from ttft_bench.engine.compiled import CompiledBackend

        try:
            return CompiledBackend(model, settings, options, like if isinstance(like, CompiledBackend) else None)
        except BackendError as error:
            warn_fallback(error, told)
    return EagerBackend(model, settings)


def warn_fallback(error: BackendError, told: set[str] | None = None) -> None:
    """Say why the compiled backend is not used, unless that is among ``told``, which lanes share: once for all."""
    told = set() if told is None else told
    if str(error) not in told:
        told.add(str(error))
        warnings.warn(f"{error}; steps run eagerly (--backend eager avoids the attempt)", RuntimeWarning, stacklevel=3)


__all__ = ["open_backend", "resolve_backend", "warn_fallback"]
