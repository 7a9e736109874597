from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttft_bench.checks.problems import sample
from ttft_strategies.controls import HullShuffled, UniformSupport
from ttft_strategies.hullft import HullFT

RNG = np.random.default_rng(0)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 50))
def test_shuffling_keeps_the_items_and_the_multiset_of_counts(seed: int, budget: int) -> None:
    problem = sample(budget, seed=seed)
    hull = HullFT().select(problem, RNG).positions
    shuffled = HullShuffled().select(problem, np.random.default_rng(seed)).positions
    (items, counts), (other_items, other_counts) = (
        np.unique(positions, return_counts=True) for positions in (hull, shuffled)
    )
    assert np.array_equal(items, other_items)
    assert sorted(counts) == sorted(other_counts)
    assert 1 + np.count_nonzero(np.diff(shuffled)) == len(items)  # repeats stay together


def test_shuffling_depends_on_the_generator_and_is_not_always_hullft() -> None:
    problem = sample(20)
    answers = {tuple(HullShuffled().select(problem, np.random.default_rng(seed)).positions) for seed in range(8)}
    assert len(answers) > 1
    again = [HullShuffled().select(problem, np.random.default_rng(3)).positions for _ in range(2)]
    assert np.array_equal(*again)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 50))
def test_uniform_support_levels_the_counts(seed: int, budget: int) -> None:
    problem = sample(budget, seed=seed)
    hull = HullFT().select(problem, RNG).positions
    even = UniformSupport().select(problem, RNG).positions
    items, counts = np.unique(even, return_counts=True)
    assert np.array_equal(items, np.unique(hull))
    assert counts.max() - counts.min() <= 1
    assert even[0] == hull[0]


@pytest.mark.parametrize("control", [HullShuffled, UniformSupport])
def test_they_take_the_solver_and_the_rounding_of_hullft(control: type[HullShuffled] | type[UniformSupport]) -> None:
    problem = sample(5, seed=3)
    hull = HullFT(solver="corrective", integerize="largest_remainder").select(problem, RNG).positions
    picks = control(solver="corrective", integerize="largest_remainder").select(problem, RNG).positions
    assert set(picks) == set(hull)
    with pytest.raises(ValueError, match="solver must be one of vanilla, away, pairwise, corrective, got 'fast'"):
        control(solver="fast")
