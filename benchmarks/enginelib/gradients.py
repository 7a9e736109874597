"""Gradients of single layers: our kernels against the library's, alone, several at once and beside an update."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

from enginelib.plan import Plan, Row
from enginelib.shapes import Shape
from enginelib.timing import seconds, wait

#: Launches in a graph, and graphs at once.
REPEATS, STREAMS = 20, 4
#: Weights of the update beside which graphs run, so many that it outlasts them, and clock cycles until it is at work.
UPDATED, HEAD_START = 100_000_000, 200_000


def gradients(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Of every kind of layer in ``shape``: bf16 products, of weights and of inputs, and a norm's sums."""
    if plan.device.type != "cuda":
        plan.note("  kernels of a GPU")
        return
    from ttft_bench.engine.compiled import kernels
    from ttft_bench.engine.compiled.direct import is_small

    tokens, transposed, update = shape.tokens, shape.family == "gpt2", _update(plan)
    for inputs, outputs in layers(shape):
        m, n = (inputs, outputs) if transposed else (outputs, inputs)

        def operands(m: int = m, n: int = n) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            left, right = (torch.randn(tokens, size, device=plan.device).bfloat16() for size in (m, n))
            return torch.empty(m, n, device=plan.device, dtype=torch.bfloat16), left, right

        sets: list[Any] = [operands() for _ in range(STREAMS)]
        yield from _compare(plan, shape, f"{m} x {n}", sets, _library_product, kernels.gradient_, update)
        sets = [
            (torch.randn(tokens, outputs, device=plan.device).bfloat16(), one[0].normal_(), transposed) for one in sets
        ]
        ours = kernels.input_gradient if is_small(tokens, inputs, outputs) else _left_alone
        yield from _compare(
            plan, shape, f"{tokens} x {inputs} inputs, {outputs} terms", sets, _library_input, ours, update
        )
    sums = [
        (*(torch.randn(tokens, shape.width, device=plan.device) for _ in range(2)), weight, torch.empty_like(weight))
        for weight in torch.empty(STREAMS, shape.width, device=plan.device)
    ]
    yield from _compare(plan, shape, f"{shape.width} sums", sums, _library_sums, kernels.sums_, update)


def layers(shape: Shape) -> list[tuple[int, int]]:
    """(inputs, outputs) of a block's products, stacked ones being one."""
    width = shape.width
    if shape.family == "gpt2":
        return [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    keys = width // shape.heads * shape.key_heads
    return [(width, width + 2 * keys), (width, width), (width, 2 * shape.inner), (shape.inner, width)]


def _compare(
    plan: Plan,
    shape: Shape,
    what: str,
    sets: list[Any],
    library: Callable[..., Any],
    ours: Callable[..., Any],
    update: Callable[[], None],
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
            "beside_s": _beside(plan, graphs[0], update),
        }


def _library_product(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    torch.mm(left.t(), right, out=out)


def _library_input(above: torch.Tensor, weight: torch.Tensor, transposed: bool) -> torch.Tensor:
    return linear(above, weight if transposed else weight.t())


def _left_alone(*_: Any) -> bool:
    return False


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


def _update(plan: Plan) -> Callable[[], None]:
    """An update of many weights in as few thread blocks as one beside a backward pass has."""
    from ttft_bench.engine.compiled import narrow
    from ttft_bench.engine.compiled.rules import coefficients

    weights, first, second = (torch.zeros(UPDATED, device=plan.device) for _ in range(3))
    halves = [torch.zeros(UPDATED, device=plan.device, dtype=torch.bfloat16) for _ in range(2)]
    step, lr = torch.ones((), device=plan.device), torch.full((), 5e-5, device=plan.device)
    numbers = (weights, *halves, first, second), step, lr, *coefficients(step, lr, 0.9, 0.999), None
    processors = torch.cuda.get_device_properties(plan.device).multi_processor_count
    programs = max(1, round(plan.options.narrow * processors))
    return partial(narrow.adam_, *numbers, (0.9, 0.999, 1e-8, 0.0), programs=programs)


def _beside(plan: Plan, captured: tuple[Any, Any], update: Callable[[], None]) -> float:
    """Seconds of one launch while ``update`` is at work on another stream."""
    graph, stream = captured
    taken = []
    for _ in range(plan.rounds):
        wait(plan.device)
        update()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(HEAD_START)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
        wait(plan.device)
        taken.append(start.elapsed_time(end) / 1e3 / REPEATS)
    return statistics.median(taken)


__all__ = ["gradients", "layers"]
