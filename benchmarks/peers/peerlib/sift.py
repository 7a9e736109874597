"""activeft's exact SIFT, as it ships and without its worker processes, against ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peerlib.pools import Vectors
from peerlib.record import Findings, Note, Row, Scale
from peerlib.timing import compiled, floor_us, has_accelerator, interleave, spread
from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem

#: The noise of the HullFT experiments.
LAM = 0.2
TARGET_FAIR, TARGET_SHIPPED = 25.0, 60.0
INSTALL = "pip install --no-deps --target DIR activeft==0.1.1, then run this with PYTHONPATH=DIR"


def run(vectors: Vectors, scale: Scale, gb_s: float, found: Findings, note: Note, label: str) -> None:
    """Two rows for each budget; says so if activeft is not there."""
    try:
        import activeft.sift  # noqa: F401
    except ImportError as error:
        note(f"activeft cannot be imported ({error}): its rows are missing; {INSTALL}")
        found.missing.append({"column": "activeft", "install": INSTALL})
        return
    ours = build_selector(f"sift[lam={LAM}]")
    rng = np.random.default_rng(0)
    roads = ["NumPy", *(["numba"] if has_accelerator() else [])]
    for budget in (20, 50):
        names = [*roads, "fair", "shipped"]
        seconds: dict[str, list[float]] = {name: [] for name in names}
        equal = dict.fromkeys(roads, 0)
        for pool in range(scale.pools):
            if pool % 10 == 0:
                note(f"sift, {label}, N = {budget}: pool {pool} of {scale.pools}")
            problem = vectors.problem(pool, 200, budget)
            peers = {"fair": _activeft(problem, workers=0), "shipped": _activeft(problem, workers=None)}
            answers: dict[str, tuple[float, Any]] = {}
            for road in roads:
                calls: dict[str, Callable[[], Any]] = {
                    road: lambda problem=problem: ours.select(problem, rng).positions
                }
                if road == roads[0]:
                    calls |= peers
                with compiled(road == "numba"):
                    if pool == 0:
                        interleave(calls, 1)
                    answers |= interleave(calls, scale.repetitions, once=("shipped",))
            for name in names:
                seconds[name].append(answers[name][0])
            for road in roads:
                mine = problem.pool[answers[road][1]]
                equal[road] += all(np.array_equal(mine, problem.pool[answers[name][1]]) for name in peers)
        for road in roads:
            for name, target, what in (
                ("fair", TARGET_FAIR, "num_workers=0"),
                ("shipped", TARGET_SHIPPED, "as it ships"),
            ):
                low, high = spread(np.array(seconds[name]) / np.array(seconds[road]))
                found.rows.append(
                    Row(
                        against=f"activeft 0.1.1 exact SIFT, {what}",
                        at=f"{label}, N = {budget}",
                        ours=repr(ours),
                        road=road,
                        peer_us=float(np.median(seconds[name]) * 1e6),
                        ours_us=float(np.median(seconds[road]) * 1e6),
                        target=target,
                        quality=f"equal picked vectors on {equal[road]} of {scale.pools} pools",
                        equal_or_better=equal[road] == scale.pools,
                        pools=scale.pools,
                        floor_us=floor_us(vectors.problem(0, 200, budget), gb_s),
                        ratio_p20=low,
                        ratio_p80=high,
                        note="" if name == "fair" else "mostly their worker processes: not claimed",
                    )
                )


def _activeft(problem: Problem, workers: int | None) -> Callable[[], NDArray[np.int64]]:
    """A search over an index that is made outside the clock; ``workers=None`` leaves the library as it is."""
    import faiss
    import torch
    from activeft.sift import Retriever

    index: Any = faiss.IndexFlatIP(problem.pool.shape[1])
    index.add(np.ascontiguousarray(problem.pool))
    retriever = Retriever(index, llambda=LAM, also_query_opposite=False, device=torch.device("cpu"))
    if workers is not None:
        retriever.acquisition_function.num_workers = workers

    def search() -> NDArray[np.int64]:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it draws from the global generator
            warnings.simplefilter("ignore")
            _, positions, _, _ = retriever.search(problem.query, N=problem.budget, K=None, threads=1)
        return np.asarray(positions, dtype=np.int64)

    return search
