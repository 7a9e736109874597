"""Linear layers whose gradients are put straight into their places, beside the rest of the backward pass.

Autograd hands all gradients over when the last is there: then they must be copied to where the optimizer reads them,
and no weight can be updated before. The backward pass of the layers here calls an operator that multiplies into the
flat gradient, on a stream of its own since nothing else waits for it, and tells a listener, who may update a
block's weights beside the backward pass of the blocks before it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn
from torch.nn.functional import linear

from ttft_bench.engine.compiled.watching import find_called_once, find_single, is_linear

_NUMBERS = itertools.count()
_SINKS: WeakValueDictionary[int, Sink] = WeakValueDictionary()
#: Settings of the compiler under which it never writes into a tensor that an operator was given.
KEEPING = {"inplace_buffers": False, "allow_buffer_reuse": False}
#: Blocks of 64 by 64, and terms of their sums, up to which a kernel of ours is as fast alone as the library's and
#: faster beside an update, in SmolLM2's layers on an H200: its multiprocessors, and twice a layer's width.
SMALL = (132, 1024)


class Sink:
    """Where the gradients of one backend's direct layers go, and those of its norms.

    Args:
        targets: per layer, in the order of :func:`find_direct`, and then per norm, in that of
            :func:`ttft_bench.engine.compiled.norms.find_norms`, the gradient of its weight, which is written.
        biases: per layer, that of its bias; None without a bias that is trained.

    Attributes:
        listener: called with the number of a layer once its gradient is queued, and with it every use of its weight;
            never with that of a norm.
        handle: what the compiled code, which all lanes share, is given to find this sink by: int64, on the host.
        stream: where gradients are computed, beside the backward pass; None for its own stream. Compiled code must
            not write into what it handed over: see :data:`KEEPING`.
        kernels: :mod:`ttft_bench.engine.compiled.kernels`, or None to leave everything to the library.
        chain: whether small products that the rest of the backward pass waits for come from there too.
    """

    def __init__(self, targets: Sequence[torch.Tensor], biases: Sequence[torch.Tensor | None]) -> None:
        self.targets = list(targets)
        self.biases = list(biases)
        self.listener: Callable[[int], None] | None = None
        self.stream: Any = None
        self.kernels: Any = None
        self.chain = True
        self._waiting: list[Callable[[], None]] = []
        self._held: list[tuple[torch.Tensor, ...]] = []
        number = next(_NUMBERS)
        self.handle = torch.tensor(number)
        _SINKS[number] = self

    def put(self, index: int, above: torch.Tensor, x: torch.Tensor, transposed: bool) -> None:
        """Queue the gradients of one layer.

        Args:
            index: the layer.
            above: (tokens, out), the gradient of its output.
            x: (tokens, in), its input.
            transposed: whether its weight is (in, out).
        """
        if self.stream is None:
            self._queue(index, above, x, transposed)
            return
        self._held.append((above, x))  # or the backward pass would get their memory for something else
        with self._apart():
            self._queue(index, above, x, transposed)

    def scale(self, index: int, above: torch.Tensor, x: torch.Tensor) -> None:
        """Queue the gradients of a norm's weight and bias, with those of the next layer: nothing waits for them.

        Args:
            index: the norm.
            above: (tokens, features), the gradient of its output.
            x: of that shape, what the weight scales.
        """
        queue = partial(self._sum, above, x, self.targets[index], self.biases[index])
        if self.stream is None:
            queue()
            return
        self._held.append((above, x))
        self._waiting.append(queue)

    def join(self, failed: bool = False) -> None:
        """Let what is queued from now on wait for all gradients; to be called after a backward pass.

        Without any the stream is not waited for: being captured, work may only wait for what the capture has reached.

        Args:
            failed: whether the pass broke off: then nothing more is queued for it.
        """
        held, self._held = self._held, []
        if failed:
            self._waiting = []
        if self._waiting:
            with self._apart():
                pass
        if held:
            torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """On the other stream, after all that is queued on this one and the norms that have been waiting for it."""
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        waiting, self._waiting = self._waiting, []
        with torch.cuda.stream(self.stream), torch.no_grad():
            for queue in waiting:
                queue()
            yield

    def _sum(
        self, above: torch.Tensor, x: torch.Tensor | None, weight: torch.Tensor | None, bias: torch.Tensor | None
    ) -> None:
        """Sum over tokens: ``above`` times ``x`` to the weight's gradient, ``above`` to the bias'."""
        if self.kernels is not None:
            self.kernels.sums_(above.contiguous(), None if x is None else x.contiguous(), weight, bias)
            return
        if x is not None and weight is not None:
            torch.sum(above * x, 0, dtype=weight.dtype, out=weight)
        if bias is not None:
            torch.sum(above, 0, dtype=bias.dtype, out=bias)

    def _queue(self, index: int, above: torch.Tensor, x: torch.Tensor, transposed: bool) -> None:
        left, right = (x, above) if transposed else (above, x)
        out = self.targets[index]
        if self.kernels is None or not self.kernels.gradient_(out, left, right):
            torch.mm(left.t(), right, out=out)
        bias = self.biases[index]
        if bias is not None:
            self._sum(above, None, None, bias)
        if self.listener is not None:
            self.listener(index)


def find_sink(handle: torch.Tensor) -> Sink:
    """The sink of this handle."""
    return _SINKS[int(handle)]


def _layer_gradients(
    sink: torch.Tensor, index: int, above: torch.Tensor, x: torch.Tensor, transposed: bool, after: torch.Tensor
) -> torch.Tensor:
    find_sink(sink).put(index, above, x, transposed)
    return above.new_empty(1, dtype=torch.float32)


# Not torch.library.custom_op: it keeps the compiler out of what it calls, and a listener calls compiled updates.
LIBRARY: Any = torch.library.Library("ttft_bench", "FRAGMENT")  # type: ignore[no-untyped-call]
LIBRARY.define(
    "layer_gradients(Tensor sink, int index, Tensor above, Tensor x, bool transposed, Tensor after) -> Tensor"
)
LIBRARY.impl("layer_gradients", _layer_gradients, "CompositeExplicitAutograd")


def _shape(
    sink: torch.Tensor, index: int, above: torch.Tensor, x: torch.Tensor, transposed: bool, after: torch.Tensor
) -> torch.Tensor:
    return above.new_empty(1, dtype=torch.float32)


torch.library.register_fake("ttft_bench::layer_gradients", _shape, lib=LIBRARY)


def _input_gradient(sink: torch.Tensor, above: torch.Tensor, weight: torch.Tensor, transposed: bool) -> torch.Tensor:
    place = find_sink(sink)
    found = place.kernels.input_gradient(above, weight, transposed) if place.kernels and place.chain else None
    return linear(above, weight if transposed else weight.t()) if found is None else found


def _input_shape(sink: torch.Tensor, above: torch.Tensor, weight: torch.Tensor, transposed: bool) -> torch.Tensor:
    return above.new_empty(*above.shape[:-1], weight.shape[0 if transposed else 1])


LIBRARY.define("input_gradient(Tensor sink, Tensor above, Tensor weight, bool transposed) -> Tensor")
LIBRARY.impl("input_gradient", _input_gradient, "CompositeExplicitAutograd")
torch.library.register_fake("ttft_bench::input_gradient", _input_shape, lib=LIBRARY)


def is_small(tokens: int, width: int, terms: int) -> bool:
    """Whether a product of (tokens, terms) and (terms, width) is one for a kernel of ours: see :data:`SMALL`."""
    return -(-tokens // 64) * -(-width // 64) <= SMALL[0] and terms <= SMALL[1]


class _Product(torch.autograd.Function):
    """``x`` times a weight; what autograd takes for the gradient of ``token`` says that the layer's are written."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        token: torch.Tensor,
        sink: torch.Tensor,
        index: int,
        transposed: bool,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight, sink)
        ctx.index, ctx.transposed = index, transposed
        return linear(x, weight.t() if transposed else weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        x, weight, sink = ctx.saved_tensors
        (gradient,) = gradients
        (out, width), tokens = weight.t().shape if ctx.transposed else weight.shape, x.shape[:-1].numel()
        # Only small ones through an operator: of all others the compiler knows more than what comes out.
        if weight.is_cuda and weight.dtype == torch.bfloat16 and is_small(tokens, width, out):
            below = torch.ops.ttft_bench.input_gradient(sink, gradient, weight, ctx.transposed)
        else:
            below = linear(gradient, weight if ctx.transposed else weight.t())
        above, inputs = gradient.flatten(0, -2), x.flatten(0, -2)
        # ``below`` is handed over so that it comes first: what follows may change the weight.
        done = torch.ops.ttft_bench.layer_gradients(sink, ctx.index, above, inputs, ctx.transposed, below)
        return below, None, None, done, None, None, None


def direct_product(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    token: torch.Tensor,
    sink: torch.Tensor,
    index: int,
    transposed: bool = False,
) -> torch.Tensor:
    """A linear layer whose gradients go to a :class:`Sink`.

    Args:
        x: (..., in); converted to the type of the weight.
        weight: (out, in), or (in, out) if ``transposed``; no gradient is handed to it.
        bias: (out,), or None; no gradient is handed to it.
        token: differentiated for in their stead.
        sink: the handle of the sink.
        index: number of the layer there.
        transposed: how the weight lies.
    """
    operands = x.to(weight.dtype), weight, bias, token, sink, index, transposed
    found: torch.Tensor = _Product.apply(*operands)  # type: ignore[no-untyped-call]
    return found


class Direct(nn.Module):
    """A linear layer in the skeleton; token and sink are handed in for every call, and all that is trained.

    Args:
        weight: the layer's.
        bias: the layer's, or None.
        index: number of the layer in its sink; None for a layer that autograd handles as usual.
        transposed: whether the weight is (in, out).
    """

    sink: torch.Tensor

    def __init__(
        self, weight: nn.Parameter, bias: nn.Parameter | None, index: int | None = None, transposed: bool = False
    ) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias
        self.index = index
        self.transposed = transposed
        if index is not None:
            self.token = nn.Parameter(torch.empty(0))
            self.register_buffer("sink", torch.empty(0))

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out)."""
        if self.index is None:
            return linear(x, self.weight, self.bias)
        return direct_product(x, self.weight, self.bias, self.token, self.sink, self.index, self.transposed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out)."""
        return self.multiply(x)


def find_direct(module: Any, trained: Sequence[nn.Parameter], siblings: Sequence[Sequence[str]]) -> list[str]:
    """Names of the linear layers that may be direct, in the order in which they are called.

    The weight must be trained, it and the bias must serve this layer alone, and the layer must go by one name and be
    called once: gradients are written, not added up.

    Args:
        module: the causal language model; run once.
        trained: the trained parameters.
        siblings: layers that are one product, which goes by the name of the first.
    """
    wanted = {id(parameter) for parameter in trained}
    owners = Counter(id(p) for part in module.modules() for p in part.parameters(recurse=False))
    parts = {name: part for name, part in find_single(module).items() if is_linear(part)}
    called = find_called_once(module, parts)
    fit = {name for name in called if id(parts[name].weight) in wanted}
    fit = {name for name in fit if owners[id(parts[name].weight)] == 1 == owners.get(id(parts[name].bias), 1)}
    for names in siblings:
        fit -= set(names[0 if not fit.issuperset(names) else 1 :])
    return [name for name in called if name in fit]


__all__ = ["KEEPING", "LIBRARY", "Direct", "Sink", "direct_product", "find_direct", "find_sink"]
