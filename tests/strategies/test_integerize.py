from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ttft_strategies._gram import Gram
from ttft_strategies._integerize import integerize, round_weights
from ttft_strategies._simplex import frank_wolfe


def _gram(seed: int, size: int) -> Gram:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=6)
    pool = query + rng.normal(size=(size, 6))
    return Gram(pool / np.linalg.norm(pool, axis=1, keepdims=True), query / np.linalg.norm(query))


def _loss(gram: Gram, counts: NDArray[np.int64]) -> float:
    residual = gram.target - counts @ gram.rows / counts.sum()
    return float(residual @ residual)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 40), st.floats(0.05, 5.0))
def test_counts_are_whole_and_no_single_swap_improves_them(
    seed: int, size: int, budget: int, concentration: float
) -> None:
    gram = _gram(seed, size)
    weights = np.random.default_rng(seed).dirichlet(np.full(size, concentration))
    counts = round_weights(gram.block(np.arange(size)), gram.b, weights, budget)
    assert counts.sum() == budget
    assert counts.min() >= 0
    best = _loss(gram, counts)
    for source, to in product(range(size), repeat=2):
        if counts[source] > 0 and source != to:
            moved = counts.copy()
            moved[source] -= 1
            moved[to] += 1
            assert _loss(gram, moved) >= best - 1e-10


@pytest.mark.parametrize("seed", range(8))
def test_near_the_best_of_all_counts(seed: int) -> None:
    budget, size = 4, 4
    gram = _gram(seed, size)
    weights = frank_wolfe(gram, support_limit=99, max_iter=2000).weights
    counts = round_weights(gram.block(np.arange(size)), gram.b, weights, budget)
    every = [np.array(c) for c in product(range(budget + 1), repeat=size) if sum(c) == budget]
    losses = sorted(_loss(gram, candidate) for candidate in every)
    assert _loss(gram, counts) <= losses[1] + 1e-12  # a local optimum, here the best or the runner-up


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 30])
def test_weights_that_are_whole_already_stay(budget: int) -> None:
    gram = Gram(np.eye(3), np.full(3, 1 / 3))
    counts = round_weights(gram.block(np.arange(3)), gram.b, np.full(3, 1 / 3), 3 * budget)
    assert list(counts) == [budget] * 3


def test_budget_one_takes_the_single_best_item_of_the_support() -> None:
    gram = _gram(4, 8)
    weights = frank_wolfe(gram, support_limit=99).weights
    (position,) = integerize(gram, weights, 1)
    losses = np.where(weights > 1e-9, [_loss(gram, row) for row in np.eye(8, dtype=np.int64)], np.inf)
    assert position == np.argmin(losses)


def test_items_without_weight_are_no_support() -> None:
    gram = _gram(0, 6)
    weights = np.array([0.0, 0.5, 0.0, 0.5, 0.0, 1e-15])
    assert set(integerize(gram, weights, 9)) <= {1, 3}


def test_order_is_by_weight_with_repeats_together() -> None:
    gram = Gram(np.eye(3), np.array([0.2, 0.5, 0.3]))
    assert list(integerize(gram, np.array([0.2, 0.5, 0.3]), 10)) == [1] * 5 + [2] * 3 + [0] * 2
    even = Gram(np.eye(2), np.array([0.5, 0.5]))
    assert list(integerize(even, np.array([0.5, 0.5]), 4)) == [0, 0, 1, 1]
