"""Which parts of a module are called in a forward pass, and on what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn


def is_linear(part: nn.Module) -> bool:
    """Whether ``part`` multiplies by a weight and adds a bias, and nothing else."""
    return type(part) is nn.Linear or type(part).__name__ == "Conv1D"


def watch(module: Any, parts: Mapping[str, nn.Module]) -> list[tuple[str, torch.Tensor | None]]:
    """Run ``module``, a causal language model, on a few tokens: the name and the input of every call of ``parts``.

    The input is None where a part is given anything but one tensor, by its place.
    """
    calls: list[tuple[str, torch.Tensor | None]] = []

    def note(name: str, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        calls.append((name, inputs[0] if len(inputs) == 1 and not keywords else None))

    run_watched(module, parts, note)
    return calls


def run_watched(
    module: Any, parts: Mapping[str, nn.Module], note: Callable[[str, tuple[Any, ...], dict[str, Any]], None]
) -> None:
    """Run ``module``, a causal language model, on a few tokens; ``note`` is given every call of ``parts``.

    Args:
        module: the model.
        parts: of it, by name.
        note: given a part's name, and what it is called with by place and by keyword.
    """

    def hook(name: str) -> Any:
        return lambda _, inputs, keywords: note(name, inputs, keywords)

    ids = torch.arange(1, 9, device=next(module.parameters()).device)[None]
    hooks = [part.register_forward_pre_hook(hook(name), with_kwargs=True) for name, part in parts.items()]
    try:
        with torch.no_grad():
            module(input_ids=ids % module.get_input_embeddings().weight.shape[0], use_cache=False)
    finally:
        for handle in hooks:
            handle.remove()


def find_called_once(module: Any, parts: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Name -> input, in the order of the calls, of the ``parts`` that are called once and on one tensor by its place.

    Only such a part can be replaced by one that takes a tensor and writes gradients, or keeps a share, for that call.
    """
    calls = watch(module, parts)
    times = Counter(name for name, _ in calls)
    return {name: read for name, read in calls if times[name] == 1 and read is not None}


def find_single(module: nn.Module) -> dict[str, Any]:
    """Name -> part, of the parts that go by one name: another in its place would not be seen under a second one."""
    named = list(module.named_modules(remove_duplicate=False))
    times = Counter(id(part) for _, part in named)
    return {name: part for name, part in named if times[id(part)] == 1}


__all__ = ["find_called_once", "find_single", "is_linear", "run_watched", "watch"]
