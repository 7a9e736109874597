from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ttft_strategies import _fast
from ttft_strategies._gram import Gram, Matrix, Vector
from ttft_strategies._integer_search import search_counts
from ttft_strategies._integerize import RULES, integerize, round_weights, training_order
from ttft_strategies._simplex import corrective, frank_wolfe


def _gram(seed: int, size: int) -> Gram:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=6)
    pool = query + rng.normal(size=(size, 6))
    return Gram(pool / np.linalg.norm(pool, axis=1, keepdims=True), query / np.linalg.norm(query))


def _loss(gram: Gram, counts: NDArray[np.int64]) -> float:
    residual = gram.target - counts @ gram.rows.take(slice(None)) / counts.sum()
    return float(residual @ residual)


def _block(gram: Gram) -> Matrix:
    return gram.block(np.arange(len(gram.b)))


def _weights(seed: int, size: int, concentration: float, upper: float = 1.0) -> Vector:
    """Random convex weights of at most ``upper``."""
    weights = np.random.default_rng(seed).dirichlet(np.full(size, concentration))
    for _ in range(200):
        weights = np.minimum(weights, upper)
        room = (weights < upper) * 1.0
        if room.any():
            weights += (1.0 - weights.sum()) * room / room.sum()
    return np.minimum(weights, upper)


def _every(size: int, budget: int, cap: int) -> list[NDArray[np.int64]]:
    return [np.array(c) for c in product(range(min(budget, cap) + 1), repeat=size) if sum(c) == budget]


CASES = (st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 40), st.floats(0.05, 5.0))


@settings(max_examples=150)
@given(*CASES, st.sampled_from(list(RULES)), st.integers(0, 8))
def test_counts_are_whole_never_negative_and_within_the_cap(
    seed: int, size: int, budget: int, concentration: float, rule: str, cap: int
) -> None:
    if rule == "exact":
        size, budget = min(size, 5), min(budget, 12)
    cap = max(cap, -(-budget // size)) if cap else 0
    weights = _weights(seed, size, concentration, cap / budget if 0 < cap < budget else 1.0)
    gram = _gram(seed, size)
    counts = round_weights(_block(gram), gram.b, weights, budget, rule, cap)
    assert counts.sum() == budget
    assert counts.min() >= 0
    assert cap == 0 or counts.max() <= cap


@pytest.mark.parametrize("compiled", [True, False])
@settings(max_examples=100)
@given(*CASES)
def test_no_single_swap_improves_geometry(
    compiled: bool, seed: int, size: int, budget: int, concentration: float
) -> None:
    gram = _gram(seed, size)
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(_fast, "available", lambda: False)
        counts = round_weights(_block(gram), gram.b, _weights(seed, size, concentration), budget)
    best = _loss(gram, counts)
    for source, to in product(range(size), repeat=2):
        if counts[source] > 0 and source != to:
            moved = counts.copy()
            moved[source] -= 1
            moved[to] += 1
            assert _loss(gram, moved) >= best - 1e-10


@settings(max_examples=150)
@given(*CASES)
def test_compiled_and_plain_geometry_agree(seed: int, size: int, budget: int, concentration: float) -> None:
    assert _fast.available(), "the compiled loops are part of the dev extra"
    gram, weights = _gram(seed, size), _weights(seed, size, concentration)
    compiled = round_weights(_block(gram), gram.b, weights, budget)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fast, "available", lambda: False)
        plain = round_weights(_block(gram), gram.b, weights, budget)
    assert np.array_equal(compiled, plain)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6), st.floats(0.05, 5.0), st.integers(0, 4))
def test_rules_in_order_of_loss_and_exact_is_the_best_of_all(
    seed: int, size: int, budget: int, concentration: float, cap: int
) -> None:
    cap = max(cap, -(-budget // size)) if cap else 0
    gram = _gram(seed, size)
    weights = _weights(seed, size, concentration, cap / budget if 0 < cap < budget else 1.0)
    loss = {rule: _loss(gram, round_weights(_block(gram), gram.b, weights, budget, rule, cap)) for rule in RULES}
    best = min(_loss(gram, counts) for counts in _every(size, budget, cap or budget))
    assert loss["exact"] == pytest.approx(best, abs=1e-9)
    assert loss["exact"] <= loss["geometry"] + 1e-9
    assert loss["geometry"] <= loss["largest_remainder"] + 1e-9


def test_the_search_handles_dependent_items_and_says_when_it_gives_up() -> None:
    rows = np.repeat(_gram(0, 3).rows, 2, axis=0)
    gram = Gram(rows, _gram(0, 3).target)
    start = np.array([7, 0, 0, 0, 0, 0])
    counts, complete = search_counts(_block(gram), gram.b, start, 7, 7)
    assert complete
    assert counts.sum() == 7
    assert _loss(gram, counts) == pytest.approx(min(_loss(gram, c) for c in _every(6, 7, 7)), abs=1e-9)
    kept, complete = search_counts(_block(gram), gram.b, start, 7, 7, node_limit=3)
    assert (kept.sum(), complete) == (7, False)


def test_exact_refuses_what_it_cannot_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttft_strategies._integerize.search_counts", lambda *arguments: (arguments[2], False))
    gram = _gram(1, 4)
    with pytest.raises(RuntimeError, match="take integerize=geometry"):
        round_weights(_block(gram), gram.b, np.full(4, 0.25), 9, "exact")


@pytest.mark.parametrize("seed", range(8))
def test_near_the_best_of_all_counts(seed: int) -> None:
    budget, size = 4, 4
    gram = _gram(seed, size)
    weights = frank_wolfe(gram, support_limit=99, max_iter=2000).weights
    counts = round_weights(_block(gram), gram.b, weights, budget)
    losses = sorted(_loss(gram, candidate) for candidate in _every(size, budget, budget))
    assert _loss(gram, counts) <= losses[1] + 1e-12  # a local optimum, here the best or the runner-up


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("budget", [1, 2, 3, 7])
def test_weights_that_are_whole_already_stay(budget: int, rule: str) -> None:
    gram = Gram(np.eye(3), np.full(3, 1 / 3))
    counts = round_weights(_block(gram), gram.b, np.full(3, 1 / 3), 3 * budget, rule)
    assert list(counts) == [budget] * 3


@pytest.mark.parametrize("rule", ["geometry", "published", "exact"])
def test_budget_one_takes_the_single_best_item_of_the_support(rule: str) -> None:
    gram = _gram(4, 8)
    weights = corrective(gram).weights
    (position,) = integerize(gram, weights, 1, rule)
    losses = np.where(weights > 1e-9, [_loss(gram, row) for row in np.eye(8, dtype=np.int64)], np.inf)
    assert position == np.argmin(losses)


@pytest.mark.parametrize("rule", list(RULES))
def test_items_without_weight_are_no_support(rule: str) -> None:
    gram = _gram(0, 6)
    weights = np.array([0.0, 0.5, 0.0, 0.5, 0.0, 1e-15])
    assert set(integerize(gram, weights, 9, rule)) <= {1, 3}


def test_order_is_by_weight_with_repeats_together() -> None:
    gram = Gram(np.eye(3), np.array([0.2, 0.5, 0.3]))
    assert list(integerize(gram, np.array([0.2, 0.5, 0.3]), 10)) == [1] * 5 + [2] * 3 + [0] * 2
    even = Gram(np.eye(2), np.array([0.5, 0.5]))
    assert list(integerize(even, np.array([0.5, 0.5]), 4)) == [0, 0, 1, 1]


def test_equal_weights_come_nearest_first() -> None:
    order = training_order(np.array([0.25, 0.25, 0.25 + 1e-16, 0.25]), np.array([0.1, 0.7, 0.1, 0.9]))
    assert order.tolist() == [3, 1, 0, 2]


def test_a_ridge_is_part_of_what_is_rounded() -> None:
    gram = Gram(np.array([[1.0, 0.0], [0.8, 0.6]]), np.array([1.0, 0.1]))
    even = np.array([0.5, 0.5])
    assert sorted(integerize(gram, even, 4, ridge=100.0)) == [0, 0, 1, 1]
    assert sorted(integerize(gram, even, 4)) == [0, 0, 0, 1]
