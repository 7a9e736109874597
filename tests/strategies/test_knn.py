from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ttft_bench.errors import SpecError
from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem, make_problem
from ttft_strategies.knn import KNN


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


def test_farthest_first_is_the_same_set_in_the_other_order_and_not_nested() -> None:
    rng = np.random.default_rng(1)
    problem = make_problem(rng.normal(size=6), rng.normal(size=(12, 6)), 5)
    farthest = build_selector("knn[order=farthest]")
    assert list(farthest.select(problem, rng).positions) == _pick(problem)[::-1]
    assert (farthest.nested, build_selector("knn").nested, KNN.nested) == (False, True, True)
    assert repr(farthest) == "knn[order=farthest]"


def test_farthest_first_breaks_ties_by_index_too() -> None:
    problem = make_problem([1.0, 0.0], [[0.6, 0.8], [1.0, 0.0], [0.6, 0.8], [0.6, 0.8]], 3)
    assert list(KNN(order="farthest").select(problem, np.random.default_rng(0)).positions) == [0, 2, 1]


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(SpecError, match="one of nearest, farthest, got 'random'"):
        build_selector("knn[order=random]")


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(1, [0]), (2, [0, 0]), (5, [0, 0, 1, 1, 2]), (6, [0, 0, 1, 1, 2, 2]), (8, [0, 0, 1, 1, 2, 2, 0, 0])],
)
def test_the_nearer_half_twice_in_a_row(budget: int, expected: list[int]) -> None:
    problem = make_problem([1.0, 0.0], [[1.0, 0.1], [1.0, 0.2], [1.0, 0.3]], budget)
    assert list(build_selector("knn-repeat").select(problem, np.random.default_rng(0)).positions) == expected
