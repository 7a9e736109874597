"""Matrix products of linear layers on a CPU: from oneDNN where a probe finds it much faster than the default library.

PyTorch's default (MKL in its x86 builds) goes by the maker of a processor too, oneDNN only by what it can do. Where
both use the same instructions they are about equally fast, and then nothing is changed. They round differently in
the last bits, so the choice should not waver between runs on one machine: it is one choice for all layers, and only a
clear lead counts. Where the lead is near that limit a busy machine may still decide otherwise; manifests tell how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn

from ttft_bench.engine.clock import race
from ttft_bench.engine.forwards import forwards_replaced
from ttft_bench.engine.model import LanguageModel

#: Layers with fewer weights are bound by the cost of calls, not of arithmetic.
SMALLEST = 1 << 16
#: oneDNN must be so many times as fast in the probe. Within a step it loses a third of what it has there (its
#: buffers come between the layers), so less would be no gain, and equals differ by up to 1.3 on a busy machine.
LEAD = 1.5
#: Tokens of the products that are timed, about a document's.
_TOKENS = 256


@dataclass(frozen=True)
class Products:
    """Which of a layer's three products oneDNN computes, and why none if it is none."""

    output: bool = False
    input_gradient: bool = False
    weight_gradient: bool = False
    reason: str = ""

    @property
    def any(self) -> bool:
        """Whether anything is changed at all."""
        return self.output or self.input_gradient or self.weight_gradient

    def __str__(self) -> str:
        chosen = [name for name in ("output", "input_gradient", "weight_gradient") if getattr(self, name)]
        return f"{' and '.join(chosen)} by oneDNN ({self.reason})" if chosen else f"default ({self.reason})"


class Swap:
    """The linear layers of a model, to be exchanged for the time of a step.

    Args:
        model: on a CPU, in fp32; on others nothing is exchanged.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.layers: list[tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor]]] = []
        if model.device.type != "cpu" or model.precision == "bf16":
            self.products = Products(reason="not fp32 on a CPU")
            return
        found = {layer: shape for layer in model.module.modules() if (shape := _shape(layer))}
        if not found:
            self.products = Products(reason="no layer is large enough")
            return
        self.products = probe(*_typical(Counter(found.values())), torch.get_num_threads())
        if self.products.any:
            self.layers = [(layer, partial(_forward, layer, self.products)) for layer in found]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Exchange the layers' forward passes inside; the backward pass is theirs wherever it runs.

        A layer that a library wrapped by its instance is no plain product any more: it is left alone.
        """
        with forwards_replaced(pair for pair in self.layers if "forward" not in vars(pair[0])):
            yield


@lru_cache(maxsize=64)
def probe(inputs: int, outputs: int, threads: int) -> Products:
    """Time the three products of a layer of this shape in both libraries, and keep the clear leads.

    Takes about 0.2 s, once in a process for each shape and number of threads.
    """
    # Values from a pattern: no generator is touched.
    layer_input = torch.linspace(-1, 1, _TOKENS * inputs).view(_TOKENS, inputs)
    weight = torch.linspace(-1, 1, outputs * inputs).view(outputs, inputs)
    gradient = torch.linspace(-1, 1, _TOKENS * outputs).view(_TOKENS, outputs)
    try:
        leads = [
            race(partial(torch.mm, left, right), partial(_multiply, left, right.t()))
            for left, right in ((layer_input, weight.t()), (gradient, weight), (gradient.t(), layer_input))
        ]
    except (AttributeError, RuntimeError) as error:  # a build without it, or a processor that it does not know
        return Products(reason=f"oneDNN cannot be used ({type(error).__name__})")
    shown = ", ".join(f"{lead:.2f}" for lead in leads)
    output, input_gradient, weight_gradient = (lead >= LEAD for lead in leads)
    return Products(output, input_gradient, weight_gradient, f"oneDNN is {shown} times as fast, threads: {threads}")


class _Linear(torch.autograd.Function):
    """``x W^T + b`` for W of shape (outputs, inputs), or ``x W + b`` where W is kept as (inputs, outputs)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, transposed: bool, products: Products
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(rows, weight)
        ctx.transposed, ctx.products = transposed, products
        matrix = weight.t() if transposed else weight
        product = _multiply if products.output else nn.functional.linear
        return product(rows, matrix, bias).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        needed, products = ctx.needs_input_grad, ctx.products
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        to_input = to_weight = to_bias = None
        if needed[0]:
            matrix = weight.t() if ctx.transposed else weight
            to_input = _mm(gradient, matrix, products.input_gradient).view(*gradients[0].shape[:-1], -1)
        if needed[1]:
            # In the layout of the weight, so that no copy follows.
            left, right = (rows, gradient) if ctx.transposed else (gradient, rows)
            to_weight = _mm(left.t(), right, products.weight_gradient)
        if needed[2]:
            to_bias = gradient.sum(0)
        return to_input, to_weight, to_bias, None, None


def _multiply(rows: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``rows matrix^T + bias`` by oneDNN: the operator behind linear layers that torch.compile packs."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "none", [], "")
    return product


def _mm(left: torch.Tensor, right: torch.Tensor, onednn: bool) -> torch.Tensor:
    return _multiply(left, right.t()) if onednn else torch.mm(left, right)


def _forward(layer: nn.Module, products: Products, x: torch.Tensor) -> torch.Tensor:
    transposed = not isinstance(layer, nn.Linear)
    result: torch.Tensor = _Linear.apply(x, layer.weight, layer.bias, transposed, products)  # type: ignore[no-untyped-call]
    return result


def _shape(layer: nn.Module) -> tuple[int, int] | None:
    """(inputs, outputs) of a linear layer that is large enough; None for anything else, subclasses too."""
    if type(layer) is nn.Linear:
        shape = (layer.in_features, layer.out_features)
    elif type(layer).__name__ == "Conv1D" and type(layer).__module__ == "transformers.pytorch_utils":
        shape = (int(layer.weight.shape[0]), int(layer.weight.shape[1]))  # type: ignore[index]
    else:
        return None
    return shape if shape[0] * shape[1] >= SMALLEST else None


def _typical(shapes: Counter[tuple[int, int]]) -> tuple[int, int]:
    """The shape with the most weights, those of a head aside if there are blocks."""
    blocks = {shape: count for shape, count in shapes.items() if count > 1} or shapes
    return max(blocks, key=lambda shape: (blocks[shape] * shape[0] * shape[1], shape))


__all__ = ["LEAD", "SMALLEST", "Products", "Swap", "probe"]
