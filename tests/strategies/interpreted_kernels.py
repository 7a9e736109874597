"""Checks of the Triton kernels, run by ``test_select_many_kernels.py`` in a process of their own.

triton decides when a kernel is defined whether it will be compiled or interpreted, so this is not collected with
the rest. On a machine with a GPU the kernels are compiled and run there.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from many import assert_equal, both, problem
from ttft_bench.selector import Problem, make_problem
from ttft_strategies import _fused
from ttft_strategies._arrays import arrays_on

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
HULL, SIFT = ["hullft", "hullft[max_iter=7]"], ["sift", "sift[lam=0.01]", "sift[repeats=false]"]


@pytest.fixture(autouse=True)
def _kernels_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _fused.usable(arrays_on(DEVICE))
    # Nothing may quietly take the other road.
    for name in ("ttft_strategies._batch.sift_many", "ttft_strategies._batch_hull.hullft_many"):
        monkeypatch.setattr(name, None)


def small(**shape: int) -> list[Problem]:
    return [problem(seed, **({"size": 17, "d": 6, "budget": 5} | shape)) for seed in range(2)]


@pytest.mark.parametrize("spec", HULL + SIFT)
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"size": 1, "budget": 4},
        {"budget": 1},
        {"size": 16, "budget": 2},
        {"size": 40, "d": 4, "budget": 21},
        {"rows": 3},
    ],
    ids=str,
)
def test_equals_the_loop(spec: str, shape: dict[str, int]) -> None:
    for one in both(spec, small(**shape), DEVICE):
        assert_equal(*one)


@pytest.mark.parametrize("spec", [HULL[0], *SIFT])
def test_duplicates_and_a_reachable_query(spec: str) -> None:
    problems = [problem(seed, size=12, doubled=True) for seed in range(2)]
    inside = problems[0].pool
    problems += [make_problem(inside[3], inside, 9), make_problem(inside[:4].mean(axis=0), inside, 9)]
    for one, many, alone in both(spec, problems, DEVICE):
        np.testing.assert_allclose(
            one.pool[many.positions].mean(axis=0), one.pool[alone.positions].mean(axis=0), atol=1e-5
        )


@pytest.mark.parametrize("spec", ["hullft", "sift"])
def test_equal_items_go_by_lowest_index(spec: str) -> None:
    row = np.ones((1, 5))
    (_, many, alone), *_ = both(spec, [make_problem(row, np.repeat(row, 6, axis=0), 4)], DEVICE)
    np.testing.assert_array_equal(many.positions, alone.positions)
    assert set(many.positions.tolist()) == {0}


def test_a_band_of_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fused, "_BAND_ENTRIES", 64)  # as with a support of hundreds
    for one in both("hullft", small(size=30, budget=19), DEVICE):
        assert_equal(*one)


def test_pools_too_large_for_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(_fused, "_MOST_LANES", 16)
    for spec in ("hullft", "sift"):
        for one in both(spec, small(), DEVICE):
            assert_equal(*one)


def test_torch_is_what_it_was() -> None:
    assert torch.ones(2).sum() == 2.0
