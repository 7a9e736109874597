"""How time grows with the pool and with the budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import published_hullft

from peerlib.pools import Vectors, grown
from peerlib.record import Findings, Note, Scale
from peerlib.timing import floor_us, has_accelerator, interleave
from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem

_OURS = ("hullft", "hullft[solver=corrective]", "sift")
_PEER = "HullFT as published"
#: Why each curve has the slope that it has.
REASONS = {
    ("K", "hullft"): (
        "b, the Gram rows of the items touched, and the certificate are products of O(K d), and the 250 steps are "
        "O(K): slope 1, less at small K where calls cost as much as the work in them, more where the pool leaves "
        "the cache"
    ),
    ("K", "hullft[solver=corrective]"): (
        "about five products with the pool, O(K d), and small factorisations that hardly depend on K: less than 1 at "
        "small K, 1 beyond, more where the pool leaves the cache"
    ),
    ("K", "sift"): (
        "four new columns cost one pass over the pool, O(K d): slope 1, more where the pool leaves the cache; no "
        "K x K matrix is held at any K"
    ),
    ("K", _PEER): "every Frank-Wolfe step multiplies the whole pool, up to 250 products of O(K d): slope 1",
    ("N", "hullft"): (
        "N ends the optimiser only while it is below the number of items that 250 steps touch: rising until there, "
        "then flat, since rounding hardly depends on N"
    ),
    ("N", "hullft[solver=corrective]"): "the optimum does not depend on N and rounding hardly does: flat",
    ("N", "sift"): (
        "products with the pool for new items: slope 1; with compiled loops an item picked again, or made along with "
        "another, needs none, so the slope falls as repeats set in, until the updates, O(N K) a pick, take over"
    ),
    ("N", _PEER): (
        "about N steps while N ends the optimiser, all 250 beyond: steep, because few touched items can take many "
        "steps, then flat"
    ),
}


def run(vectors: Vectors, scale: Scale, gb_s: float, found: Findings, note: Note) -> None:
    """Median microseconds over two prompts for each method, K and N, with log-log slopes between neighbours."""
    methods: dict[str, Callable[[Problem], Any]] = {_PEER: published_hullft.select}
    for spec in _OURS:
        methods[spec] = _selecting(spec)
    points = []
    for axis, k, n in _grid(scale):
        note(f"growth with {axis}: K = {k:,}, N = {n}")
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for prompt in range(2):
            problem = grown(vectors, prompt, k, n)
            calls = {name: (lambda method=method, problem=problem: method(problem)) for name, method in methods.items()}
            rounds = scale.repetitions if k <= 1_000 else 1
            for name, (spent, _) in interleave(calls, rounds).items():
                seconds[name].append(spent)
        floor = floor_us(problem, gb_s)
        points += [
            {"axis": axis, "method": name, "k": k, "n": n, "us": float(np.median(spent) * 1e6), "floor_us": floor}
            for name, spent in seconds.items()
        ]
    found.growth = {"road": "numba" if has_accelerator() else "NumPy", "points": points, "slopes": _slopes(points)}


def _grid(scale: Scale) -> list[tuple[str, int, int]]:
    along_k = [("K", k, 50) for k in scale.sizes]
    return along_k + [("N", 1_000, n) for n in scale.steps]


def _selecting(spec: str) -> Callable[[Problem], Any]:
    selector, rng = build_selector(spec), np.random.default_rng(0)
    return lambda problem: selector.select(problem, rng)


def _slopes(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    slopes = []
    for axis, method in REASONS:
        own = sorted(
            (p for p in points if p["axis"] == axis and p["method"] == method), key=lambda point: point[axis.lower()]
        )
        x = np.log([point[axis.lower()] for point in own])
        y = np.log([point["us"] for point in own])
        slopes.append(
            {
                "axis": axis,
                "method": method,
                "between": [point[axis.lower()] for point in own],
                "slopes": (np.diff(y) / np.diff(x)).tolist(),
                "reason": REASONS[axis, method],
            }
        )
    return slopes
