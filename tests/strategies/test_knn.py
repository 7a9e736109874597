from __future__ import annotations

from itertools import pairwise

import numpy as np

from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem, make_problem


def _pick(problem: Problem) -> list[int]:
    return list(build_selector("knn").select(problem, np.random.default_rng(0)).positions)


def test_orders_by_similarity_nearest_first() -> None:
    pool = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]]
    assert _pick(make_problem([1.0, 0.1], pool, 4)) == [1, 2, 0, 3]


def test_several_query_rows_are_averaged() -> None:
    pool = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    assert _pick(make_problem([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], pool, 1)) == [2]


def test_equal_rows_come_by_index_wherever_they_stand() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(40, 384))
    pool = rows[rng.permutation(np.repeat(np.arange(40), 5))]
    positions = _pick(make_problem(rng.normal(size=384), pool, 200))
    for first, second in pairwise(positions):
        assert first < second or not np.array_equal(pool[first], pool[second])
