"""Which linear layers of a module are called in a forward pass, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def is_linear(part: nn.Module) -> bool:
    """Whether ``part`` multiplies by a weight and adds a bias, and nothing else."""
    return type(part) is nn.Linear or type(part).__name__ == "Conv1D"


def watch(module: Any, parts: Mapping[str, nn.Module]) -> list[tuple[str, torch.Tensor]]:
    """Run ``module``, a causal language model, on a few tokens: the name and the input of every call of ``parts``."""
    calls: list[tuple[str, torch.Tensor]] = []

    def hook(name: str) -> Any:
        return lambda _, inputs: calls.append((name, inputs[0]))

    ids = torch.arange(1, 9, device=next(module.parameters()).device)[None]
    hooks = [part.register_forward_pre_hook(hook(name)) for name, part in parts.items()]
    try:
        with torch.no_grad():
            module(input_ids=ids % module.get_input_embeddings().weight.shape[0], use_cache=False)
    finally:
        for handle in hooks:
            handle.remove()
    return calls


__all__ = ["is_linear", "watch"]
