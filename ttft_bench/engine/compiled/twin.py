"""The module's twin: same structure, same tensors, except that trained weights are replaced by flat leaves.

The module keeps its fp32 weights, for scoring and for the optimizer to write; the twin is what a training
step runs through. Under bf16 autocast the weights of matrix products are cast on every forward pass, and
their gradients cast back: the twin holds them in bf16 already.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn


def matrix_weights(module: nn.Module) -> set[int]:
    """Ids of the parameters that autocast would cast: weights and biases of linear layers."""
    return {
        id(parameter)
        for part in module.modules()
        if isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"
        for parameter in part.parameters(recurse=False)
    }


def make_twin(module: nn.Module, leaves: Mapping[int, nn.Parameter], frozen_dtype: torch.dtype) -> nn.Module:
    """A copy of ``module`` that shares its tensors, but for the leaves.

    Args:
        module: stays as it is.
        leaves: id of a trained parameter -> the leaf that takes its place.
        frozen_dtype: type of the copies of frozen matrix weights; fp32 shares them.
    """
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    twin: nn.Module = copy.deepcopy(module, dict(shared))
    casts = matrix_weights(module) if frozen_dtype != torch.float32 else set()
    replaced: dict[int, nn.Parameter] = {}
    for key, tensor in shared.items():
        if key in leaves:
            replaced[key] = leaves[key]
        elif key in casts:
            replaced[key] = nn.Parameter(tensor.detach().to(frozen_dtype), requires_grad=False)
    for part in twin.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and id(parameter) in replaced:
                part._parameters[name] = replaced[id(parameter)]
    return twin.eval()


__all__ = ["make_twin", "matrix_weights"]
