"""HullFT as published against ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import published_hullft

from peerlib.pools import Vectors
from peerlib.record import Findings, Note, Row, Scale
from peerlib.timing import compiled, floor_us, has_accelerator, interleave, spread
from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem, Selector, measure

PEER = "HullFT as published"
#: The published algorithm, and what may replace it if its answers are no worse.
SAME = "hullft"
OTHERS = ("hullft[solver=away]", "hullft[solver=pairwise]", "hullft[solver=corrective]")
#: Ratios to reach: over the mean of all budgets, and at the largest.
TARGETS = {"NumPy": (5.0, 6.0), "numba": (15.0, 20.0)}
#: Mean losses are compared to this; a difference below is rounding.
_ROUNDING = 1e-9

Table = dict[str, np.ndarray]


def run(vectors: Vectors, scale: Scale, gb_s: float, found: Findings, note: Note, label: str) -> None:
    """Time every solver at every budget over every pool; report the same algorithm, and the best of ours."""
    specs = (SAME, *OTHERS)
    selectors = {spec: build_selector(spec) for spec in specs}
    roads = ["NumPy"]
    if has_accelerator():
        roads.append("numba")
    else:
        found.missing.append({"column": "numba", "install": "pip install 'ttft-bench[fast]'"})
    seconds, losses = _measure(vectors, scale, selectors, roads, note, label)
    floor = floor_us(vectors.problem(0, 200, 1), gb_s)
    settings = {f"{label}, mean over N = {scale.budgets[0]}..{scale.budgets[-1]}": (0, slice(None))}
    settings[f"{label}, N = {scale.budgets[-1]}"] = (1, slice(-1, None))
    for road in roads:
        for at, (which, budgets) in settings.items():
            target = TARGETS[road][which]
            peer_loss = float(losses[PEER][:, budgets].mean())

            def row(spec: str, target: float | None, note: str, at: str = at, budgets: slice = budgets) -> Row:
                key, loss = f"{spec} {road}", float(losses[f"{spec} {road}"][:, budgets].mean())  # noqa: B023
                peer, ours = seconds[PEER][:, budgets], seconds[key][:, budgets]
                low, high = spread(peer.mean(axis=1) / ours.mean(axis=1))
                return Row(
                    against=PEER,
                    at=at,
                    ours=spec,
                    road=road,  # noqa: B023
                    peer_us=float(np.median(peer, axis=0).mean() * 1e6),
                    ours_us=float(np.median(ours, axis=0).mean() * 1e6),
                    target=target,
                    quality=f"mean loss {loss:.6f}, theirs {peer_loss:.6f}",  # noqa: B023
                    equal_or_better=loss <= peer_loss + _ROUNDING,  # noqa: B023
                    pools=len(peer),
                    floor_us=floor,
                    ratio_p20=low,
                    ratio_p80=high,
                    note=note,
                )

            rows = [row(spec, target, "the fastest of ours with mean loss not above") for spec in specs]
            allowed = [candidate for candidate in rows if candidate.equal_or_better] or rows
            best = min(allowed, key=lambda candidate: candidate.ours_us)
            if best.ours == SAME:
                found.rows.append(row(SAME, target, "the same algorithm, and the fastest of ours"))
            else:
                found.rows += [row(SAME, None, "the same algorithm"), best]


def _measure(
    vectors: Vectors, scale: Scale, selectors: dict[str, Selector], roads: list[str], note: Note, label: str
) -> tuple[Table, Table]:
    """Seconds and losses by name, each of shape (pools, budgets)."""
    rng = np.random.default_rng(0)
    names = [PEER, *(f"{spec} {road}" for road in roads for spec in selectors)]
    shape = (scale.pools, len(scale.budgets))
    seconds, losses = {name: np.zeros(shape) for name in names}, {name: np.zeros(shape) for name in names}

    def timed(problem: Problem, rounds: int) -> dict[str, tuple[float, np.ndarray]]:
        collected: dict[str, list[float]] = {name: [] for name in names}
        answers: dict[str, np.ndarray] = {}
        for _ in range(rounds):
            for road in roads:  # the switch is outside the clock; peers take their turn under each
                calls: dict[str, Callable[[], Any]] = {
                    f"{spec} {road}": lambda selector=selector: selector.select(problem, rng).positions
                    for spec, selector in selectors.items()
                }
                calls[PEER] = lambda: published_hullft.select(problem)
                with compiled(road == "numba"):
                    for name, (spent, answer) in interleave(calls, 1).items():
                        collected[name].append(spent)
                        answers[name] = answer
        return {name: (float(np.median(collected[name])), answers[name]) for name in names}

    timed(vectors.problem(0, 200, scale.budgets[-1]), 2)  # compile, fill caches
    for pool in range(scale.pools):
        if pool % 10 == 0:
            note(f"hullft, {label}: pool {pool} of {scale.pools}")
        for column, budget in enumerate(scale.budgets):
            problem = vectors.problem(pool, 200, budget)
            # Averaged over many budgets, one round each is plenty; the largest budget is a row of its own.
            rounds = scale.repetitions if budget == scale.budgets[-1] else 1
            for name, (spent, positions) in timed(problem, rounds).items():
                seconds[name][pool, column] = spent
                losses[name][pool, column] = measure(positions, problem)["residual"]
    return seconds, losses
