"""Gradients of weights by themselves: our kernels beside the library's, alone and several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from enginelib.plan import Plan, Row
from enginelib.shapes import Shape
from enginelib.timing import seconds, wait

#: Launches in a graph, and graphs at once.
REPEATS, STREAMS = 20, 4


def gradients(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Of every kind of layer in ``shape``: bf16 products over its tokens, and a norm's sums for weight and bias."""
    if plan.device.type != "cuda":
        plan.note("  kernels of a GPU")
        return
    from ttft_bench.engine.compiled import kernels

    tokens = shape.tokens
    for inputs, outputs in layers(shape):
        m, n = (inputs, outputs) if shape.family == "gpt2" else (outputs, inputs)

        def operands(m: int = m, n: int = n) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            left, right = (torch.randn(tokens, size, device=plan.device).bfloat16() for size in (m, n))
            return torch.empty(m, n, device=plan.device, dtype=torch.bfloat16), left, right

        sets = [operands() for _ in range(STREAMS)]
        yield from _compare(plan, shape, f"{m} x {n}", sets, _library_product, kernels.gradient_)
    sums = [
        (*(torch.randn(tokens, shape.width, device=plan.device) for _ in range(2)), weight, torch.empty_like(weight))
        for weight in torch.empty(STREAMS, shape.width, device=plan.device)
    ]
    yield from _compare(plan, shape, f"{shape.width} sums", sums, _library_sums, kernels.sums_)


def layers(shape: Shape) -> list[tuple[int, int]]:
    """(inputs, outputs) of a block's products, stacked ones being one."""
    width = shape.width
    if shape.family == "gpt2":
        return [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    keys = width // shape.heads * shape.key_heads
    return [(width, width + 2 * keys), (width, width), (width, 2 * shape.inner), (shape.inner, width)]


def _compare(
    plan: Plan, shape: Shape, what: str, sets: list[Any], library: Callable[..., Any], ours: Callable[..., Any]
) -> Iterator[Row]:
    for who, run in (("library", library), ("ours", ours)):
        if run(*sets[0]) is False:
            continue  # left to the library
        graphs = [_capture(plan, partial(run, *operands)) for operands in sets]
        alone, at_once = (_replay(plan, graphs[:count]) for count in (1, STREAMS))
        yield {
            "who": who,
            "what": "gradients",
            "model": shape.name,
            "tokens": shape.tokens,
            "of": what,
            "alone_s": alone,
            "at_once_s": at_once,
        }


def _library_product(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    torch.mm(left.t(), right, out=out)


def _library_sums(above: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> None:
    torch.sum(above * x, 0, out=weight)
    torch.sum(above, 0, out=bias)


def _capture(plan: Plan, run: Callable[[], Any]) -> tuple[Any, Any]:
    stream = torch.cuda.Stream(plan.device)
    with torch.cuda.stream(stream):
        run()
    wait(plan.device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(REPEATS):
            run()
    return graph, stream


def _replay(plan: Plan, graphs: list[tuple[Any, Any]]) -> float:
    """Seconds of one launch."""

    def replay() -> None:
        for graph, stream in graphs:
            with torch.cuda.stream(stream):
                graph.replay()

    replay()
    return seconds(replay, plan.device, plan.rounds, 5) / REPEATS / len(graphs)


__all__ = ["gradients", "layers"]
