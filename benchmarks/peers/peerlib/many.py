"""Many prompts at once against the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from peerlib.pools import Vectors
from peerlib.record import Findings, Note, Row, Scale
from peerlib.timing import compiled, floor_us, has_accelerator, interleave
from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem, Selection

#: Reported on a processor, to be reached on an accelerator.
TARGET_DEVICE = 20.0
BUDGET = 50


def run(
    vectors: Vectors, scale: Scale, gb_s: float, found: Findings, note: Note, label: str, device: str | None
) -> None:
    """One row for each selector and road; microseconds are per prompt."""
    problems = [vectors.problem(index, 200, BUDGET) for index in range(scale.many)]
    rngs = [np.random.default_rng(index) for index in range(scale.many)]
    for spec in ("hullft", "sift"):
        selector = build_selector(spec)
        for road in ("NumPy", *(["numba"] if has_accelerator() else [])):
            for where in (None, "numpy", *([device] if device else [])):
                note(f"select_many, {label}: {spec} on {where or road}, {scale.many} prompts")
                keywords = {"device": where} if where else {}
                calls: dict[str, Callable[[], Any]] = {
                    "loop": lambda selector=selector: [
                        selector.select(problem, rng) for problem, rng in zip(problems, rngs, strict=True)
                    ],
                    "many": lambda selector=selector, keywords=keywords: selector.select_many(
                        problems, rngs, **keywords
                    ),
                }
                with compiled(road == "numba"):
                    interleave(calls, 1)
                    answers = interleave(calls, scale.repetitions)
                equal = sum(map(_same, problems, answers["loop"][1], answers["many"][1]))
                found.rows.append(
                    Row(
                        against="a loop over select",
                        at=f"{label}, {scale.many} prompts, N = {BUDGET}, per prompt",
                        ours=f"select_many of {spec}",
                        road={None: road, "numpy": "NumPy batches"}.get(where, f"torch {where}"),
                        peer_us=answers["loop"][0] / scale.many * 1e6,
                        ours_us=answers["many"][0] / scale.many * 1e6,
                        target=TARGET_DEVICE if where not in (None, "numpy", "cpu") else None,
                        quality=f"equal picked vectors for {equal} of {scale.many} prompts",
                        equal_or_better=equal == scale.many,
                        pools=scale.many,
                        floor_us=floor_us(problems[0], gb_s),
                        note=f"loop on {road}" if where else "",
                    )
                )
    if device is None:
        found.missing.append(
            {"column": "select_many on a GPU", "install": "run this with --device cuda where torch sees a GPU"}
        )


def _same(problem: Problem, one: Selection, other: Selection) -> bool:
    return np.array_equal(problem.pool[one.positions], problem.pool[other.positions])
