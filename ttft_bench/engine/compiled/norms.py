"""Norms whose weights' gradients are summed beside the backward pass: nothing before the optimizer reads them.

Autograd sums them over tokens where the compiler puts that, in the chain of kernels that the whole backward pass
waits for. Here a norm is taken apart: it normalises with weights of one, and a scale follows whose gradients an
operator hands to the :class:`ttft_bench.engine.compiled.direct.Sink`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ttft_bench.engine.compiled.direct import LIBRARY, find_sink
from ttft_bench.engine.compiled.watching import find_called_once, find_single

#: How far a norm may be from its scale times what it gives with weights of one, relative to the largest number.
_TOLERANCE = 1e-5


def _scale_gradients(sink: torch.Tensor, index: int, above: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    find_sink(sink).scale(index, above, x)
    return above.new_empty(1, dtype=torch.float32)


def _shape(sink: torch.Tensor, index: int, above: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return above.new_empty(1, dtype=torch.float32)


LIBRARY.define("scale_gradients(Tensor sink, int index, Tensor above, Tensor x) -> Tensor")
LIBRARY.impl("scale_gradients", _scale_gradients, "CompositeExplicitAutograd")
torch.library.register_fake("ttft_bench::scale_gradients", _shape, lib=LIBRARY)


class _Scaled(torch.autograd.Function):
    """``x`` times a weight, plus a bias; the gradient of ``token`` says that theirs are written."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        token: torch.Tensor,
        sink: torch.Tensor,
        index: int,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight, sink)
        ctx.index = index
        scaled = weight * x
        return _convert(scaled if bias is None else scaled + bias, x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        x, weight, sink = ctx.saved_tensors
        (above,) = gradients
        done = torch.ops.ttft_bench.scale_gradients(sink, ctx.index, above.flatten(0, -2), x.flatten(0, -2))
        return _convert(above * weight, x.dtype), None, None, done, None, None


def _convert(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``x`` in that type; what a norm gives has the type that it gave with ones, whatever its weight is.

    Not ``to`` alone: with nothing to convert at the end of a forward pass, PyTorch 2.11's tracer loses the gradient.
    """
    return x if x.dtype == dtype else x.to(dtype)


class Scale(nn.Module):
    """A norm in the skeleton, taken apart; weight, bias, token and sink are handed in for every call.

    Args:
        norm: the skeleton's own, whose parameters become constants.
        index: its number in the sink.
    """

    sink: torch.Tensor

    def __init__(self, norm: Any, index: int) -> None:
        super().__init__()
        self.weight = norm.weight
        self.bias = getattr(norm, "bias", None)
        self.index = index
        self.token = nn.Parameter(torch.empty(0))
        self.register_buffer("sink", torch.empty(0))
        for name, constant in _units(norm).items():
            del norm._parameters[name]
            norm.register_buffer(name, constant, persistent=False)
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., features) -> the same."""
        operands = self.norm(x), self.weight, self.bias, self.token, self.sink, self.index
        found: torch.Tensor = _Scaled.apply(*operands)  # type: ignore[no-untyped-call]
        return found


def find_norms(module: Any, trained: Sequence[nn.Parameter]) -> list[str]:
    """Names of the norms that can be taken apart.

    The weight must be trained, and so the bias if there is one; both must serve this norm alone, which must go by one
    name and be called once, on one tensor as wide as its weight; and it must be its scale times what it gives with
    weights of one, which is tried.

    Args:
        module: the causal language model; run once.
        trained: the trained parameters.
    """
    wanted = {id(parameter) for parameter in trained}
    owners = Counter(id(p) for part in module.modules() for p in part.parameters(recurse=False))
    parts = {
        name: part
        for name, part in find_single(module).items()
        if _may_be_norm(part) and all(id(p) in wanted and owners[id(p)] == 1 for p in part.parameters())
    }
    called = find_called_once(module, parts).items()
    fit = [name for name, read in called if read.shape[-1] == parts[name].weight.numel()]
    return [name for name in fit if _is_scaled(parts[name])]


def _may_be_norm(part: nn.Module) -> bool:
    own = dict(part.named_parameters(recurse=False))
    plain = not any(True for _ in part.children()) and "forward" not in vars(part)
    return plain and "weight" in own and own.keys() <= {"weight", "bias"} and all(p.dim() == 1 for p in own.values())


def _units(norm: Any) -> dict[str, torch.Tensor]:
    """Name -> what takes a parameter's place: a weight of ones, a bias of zeros."""
    fill = {"weight": torch.ones_like, "bias": torch.zeros_like}
    return {name: fill[name](parameter.detach()) for name, parameter in norm.named_parameters()}


def _is_scaled(norm: Any) -> bool:
    weight = norm.weight.detach()
    x = torch.linspace(-1, 2, 3 * weight.numel(), device=weight.device).reshape(1, 3, -1)
    given = {name: 0.5 + torch.linspace(0, 1, len(p), device=p.device) for name, p in norm.named_parameters()}
    try:
        with torch.no_grad():
            whole, unit = (functional_call(norm, values, (x,)) for values in (given, _units(norm)))
            apart = unit * given["weight"] + given.get("bias", 0.0)
            return unit.shape == x.shape and bool((whole - apart).abs().max() <= _TOLERANCE * whole.abs().max())
    except Exception:  # what is not a norm may raise anything
        return False


__all__ = ["Scale", "find_norms"]
