"""Many prompts at once against the loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from peerlib.device import bus_gb_s, describe, kernels_on, stages
from peerlib.pools import Vectors
from peerlib.record import GPU_COLUMN, Findings, Note, Row, Scale
from peerlib.timing import compiled, floor_us, has_accelerator, interleave
from ttft_bench.selector import Problem, Selection, Selector

#: Reported on a processor, to be reached on an accelerator.
TARGET_DEVICE = 20.0
BUDGET = 50
#: Batches that are timed as one on a device, where a single one takes milliseconds.
_IN_A_ROW = 10


def run(
    vectors: Vectors, scale: Scale, gb_s: float, found: Findings, note: Note, label: str, device: str | None
) -> None:
    """One row for each selector and road; microseconds are per prompt."""
    problems = [vectors.problem(index, 200, BUDGET) for index in range(scale.many)]
    rngs = [np.random.default_rng(index) for index in range(scale.many)]
    on_device = device not in (None, "cpu")
    bus = bus_gb_s(device) if on_device and device else gb_s
    for selector in _selectors():
        for road in ("NumPy", *(["numba"] if has_accelerator() else [])):
            for where, kernels in _roads(device):
                gpu = on_device and where == device
                name = {None: road, "numpy": "NumPy batches"}.get(where, f"torch {where}")
                if gpu:
                    name += ", Triton kernels" if kernels else ", array operations"
                note(f"select_many, {label}: {selector!r} on {name} against {road}, {scale.many} prompts")
                row = _IN_A_ROW if gpu else 1
                calls = _calls(selector, problems, rngs, where, row)
                with compiled(road == "numba"), _kernels(kernels):
                    interleave(calls, 1)
                    answers = interleave(calls, scale.repetitions)
                equal = sum(map(_same, problems, answers["loop"][1], answers["many"][1]))
                found.rows.append(
                    Row(
                        against="a loop over select",
                        at=f"{label}, {scale.many} prompts, N = {BUDGET}, per prompt",
                        ours=f"select_many of {selector!r}",
                        road=name,
                        peer_us=answers["loop"][0] / scale.many * 1e6,
                        ours_us=answers["many"][0] / scale.many / row * 1e6,
                        target=TARGET_DEVICE if gpu and kernels else None,
                        quality=f"equal picked vectors for {equal} of {scale.many} prompts",
                        equal_or_better=equal == scale.many,
                        pools=scale.many,
                        floor_us=floor_us(problems[0], bus if gpu else gb_s),
                        note=f"loop on {road}" if where else "",
                    )
                )
    if on_device and device:
        found.device = describe(device) | {"bus_gb_s": bus}
        if kernels_on(device):
            found.device["stages_us"] = {repr(own): stages(own, problems, device) for own in _selectors()}
    else:
        found.missing.append({"column": GPU_COLUMN, "install": "run this with --device cuda where torch sees a GPU"})


def _selectors() -> tuple[Selector, ...]:
    """As classes and not by name, so that a source tree will do where nothing is installed."""
    from ttft_strategies.hullft import HullFT
    from ttft_strategies.sift import SIFT

    return HullFT(), SIFT()


def _roads(device: str | None) -> list[tuple[str | None, bool]]:
    """Devices, and whether with kernels that run a prompt each."""
    roads: list[tuple[str | None, bool]] = [(None, False), ("numpy", False)]
    if device:
        roads += [(device, False)] + [(device, True)] * kernels_on(device)
    return roads


def _calls(
    selector: Any, problems: list[Problem], rngs: list[np.random.Generator], where: str | None, row: int
) -> dict[str, Callable[[], Any]]:
    keywords = {"device": where} if where else {}

    def loop() -> list[Selection]:
        return [selector.select(problem, rng) for problem, rng in zip(problems, rngs, strict=True)]

    def many() -> list[Selection]:
        for _ in range(row - 1):
            selector.select_many(problems, rngs, **keywords)
        answers: list[Selection] = selector.select_many(problems, rngs, **keywords)
        return answers

    return {"loop": loop, "many": many}


@contextmanager
def _kernels(wanted: bool) -> Iterator[None]:
    before = os.environ.get("TTFT_TRITON")
    os.environ["TTFT_TRITON"] = "1" if wanted else "0"
    try:
        yield
    finally:
        os.environ.pop("TTFT_TRITON") if before is None else os.environ.update(TTFT_TRITON=before)


def _same(problem: Problem, one: Selection, other: Selection) -> bool:
    return np.array_equal(problem.pool[one.positions], problem.pool[other.positions])
