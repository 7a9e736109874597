"""``select_many`` answers as the loop does, on NumPy and on torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many import assert_equal, both, problem
from ttft_bench.errors import UsageError
from ttft_bench.registry import build_selector
from ttft_bench.selector import make_problem, validate_selection

DEVICES = [None, "numpy", "cpu"]
BATCHED = ["hullft", "hullft[gap_tol=0.001]", "hullft[max_iter=7]", "sift", "sift[lam=0.01]", "sift[repeats=false]"]


@pytest.fixture(autouse=True, params=["as installed", "pure"])
def _road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from ttft_strategies import _fast

    if request.param == "pure":  # only then does NumPy batch SIFT by itself
        monkeypatch.setenv("TTFT_PURE", "1")
    _fast._kernels.cache_clear()
    yield
    _fast._kernels.cache_clear()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spec", BATCHED)
def test_equals_the_loop(spec: str, device: str | None) -> None:
    problems = [problem(seed, budget=budget) for seed in range(12) for budget in (1, 2, 4, 9, 30)]
    for one in both(spec, problems, device):
        assert_equal(*one)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spec", BATCHED)
def test_shapes_may_differ_and_the_order_stays(spec: str, device: str | None) -> None:
    problems = [
        problem(seed, size=size, d=d, rows=rows)
        for seed in range(3)
        for size, d in ((9, 4), (30, 12))
        for rows in (1, 3)
    ]
    problems += [problem(0, size=1, d=3, budget=4), problem(1, size=40, d=4, budget=50)]
    for one in both(spec, problems, device):
        assert_equal(*one)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spec", BATCHED)
def test_duplicates_and_a_reachable_query(spec: str, device: str | None) -> None:
    problems = [problem(seed, doubled=True) for seed in range(8)]
    inside = problems[0].pool
    problems += [make_problem(inside[3], inside, 9), make_problem(inside[:4].mean(axis=0), inside, 20)]
    selector = build_selector(spec)
    for one, many, alone in both(spec, problems, device):
        mean = one.pool[many.positions].mean(axis=0) - one.pool[alone.positions].mean(axis=0)
        np.testing.assert_allclose(mean, 0.0, atol=1e-5)
        validate_selection(many, one, selector)


@pytest.mark.parametrize("spec", ["hullft", "sift"])
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 25), d=st.integers(2, 9), budget=st.integers(1, 40))
def test_random_shapes(spec: str, seed: int, size: int, d: int, budget: int) -> None:
    problems = [problem(seed + shift, size=size, d=d, budget=budget) for shift in range(3)]
    for one in both(spec, problems, "numpy"):
        assert_equal(*one)


@pytest.mark.parametrize("spec", ["hullft", "sift"])
def test_what_else_is_in_the_batch_changes_nothing(spec: str) -> None:
    selector, problems = build_selector(spec), [problem(seed) for seed in range(5)]
    rngs = [np.random.default_rng(0) for _ in problems]
    together = selector.select_many(problems, rngs)
    for index, one in enumerate(problems):
        (alone,) = selector.select_many([one], rngs[:1])
        np.testing.assert_array_equal(alone.positions, together[index].positions)


def test_one_generator_for_each_problem() -> None:
    selector, problems = build_selector("random"), [problem(0), problem(0)]
    first, second = selector.select_many(problems, [np.random.default_rng(1), np.random.default_rng(2)])
    np.testing.assert_array_equal(first.positions, selector.select(problems[0], np.random.default_rng(1)).positions)
    assert not np.array_equal(first.positions, second.positions)
    for spec in ("random", "hullft", "sift"):
        with pytest.raises(ValueError):
            build_selector(spec).select_many(problems, [np.random.default_rng(1)])
        assert build_selector(spec).select_many([], []) == []


def test_devices_that_cannot_be_used() -> None:
    rngs = [np.random.default_rng(0)]
    with pytest.raises(UsageError, match="device 'abacus'"):
        build_selector("sift").select_many([problem(0)], rngs, device="abacus")
    with pytest.raises(UsageError, match="no batched form"):
        build_selector("hullft[solver=corrective]").select_many([problem(0)], rngs, device="cpu")


@pytest.mark.parametrize("spec", BATCHED)
def test_as_on_a_device_that_is_asked_seldom_and_in_small_batches(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ttft_strategies._arrays import Arrays

    monkeypatch.setattr(Arrays, "patience", 5)
    monkeypatch.setattr(Arrays, "batch_bytes", 40_000)
    for one in both(spec, [problem(seed, budget=budget) for seed in range(11) for budget in (4, 9)], "cpu"):
        assert_equal(*one)
