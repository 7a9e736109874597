"""The parts of the benchmark by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from enginelib.checks import check
from enginelib.gradients import gradients
from enginelib.natural import natural
from enginelib.plan import Plan, Row, release
from enginelib.shapes import Shape
from enginelib.steps import growth, ours, published, sizes
from enginelib.studies import ideas, lanes, narrow, profile

PARTS: dict[str, Callable[[Plan, Shape], Iterator[Row]]] = {
    "published": published,
    "ours": ours,
    "lanes": lanes,
    "gradients": gradients,
    "profile": profile,  # leaves its hooks behind: no timing of the same model comes after it
    "check": check,
    "natural": natural,
    "ideas": ideas,
    "narrow": narrow,
    "growth": growth,
    "sizes": sizes,
}


def run_part(part: str, plan: Plan, shape: Shape) -> Iterator[Row]:
    """The rows of one part, each with the seconds that the part had taken when it was made."""
    started = time.perf_counter()
    for row in PARTS[part](plan, shape):
        yield {**row, "part": part, "part_s": round(time.perf_counter() - started, 1)}
    release()
