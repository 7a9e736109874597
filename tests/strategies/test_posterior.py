"""The incremental posterior against its definition, and products of large pools block by block."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttft_bench.selector import make_problem
from ttft_strategies import _fast, _rows
from ttft_strategies._posterior import Posterior
from ttft_strategies._rows import Rows
from ttft_strategies.sift import SIFT
from ttft_strategies.sift_lazy import SIFTLazy


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    queries=st.integers(1, 3),
    noise=st.sampled_from([0.01, 0.2, 1.0]),
    picks=st.lists(st.integers(0, 11), min_size=1, max_size=9),
)
def test_equals_the_definition_by_matrix_inverse(seed: int, queries: int, noise: float, picks: list[int]) -> None:
    rng = np.random.default_rng(seed)
    pool, targets = rng.normal(size=(12, 5)).astype(np.float32), rng.normal(size=(queries, 5))
    posterior = Posterior(pool, targets, noise, len(picks))
    for pick in picks:
        posterior.observe(pick)
    everything = np.vstack([targets, pool.astype(np.float64)])
    seen = pool[picks].astype(np.float64)
    gain = everything @ seen.T @ np.linalg.inv(seen @ seen.T + noise * np.eye(len(picks))) @ seen @ everything.T
    covariance = everything @ everything.T - gain
    assert posterior.cross == pytest.approx(covariance[:queries, queries:], abs=1e-9)
    assert posterior.diagonal == pytest.approx(covariance.diagonal()[queries:], abs=1e-9)
    assert posterior.target_covariance == pytest.approx(covariance[:queries, :queries], abs=1e-9)


def test_an_item_observed_c_times_is_observed_once_with_noise_over_c() -> None:
    rng = np.random.default_rng(4)
    pool, targets = rng.normal(size=(9, 5)).astype(np.float32), rng.normal(size=(2, 5))
    often = Posterior(pool, targets, 0.6, 3)
    for _ in range(3):
        often.observe(2)
    once = Posterior(pool, targets, 0.2, 1)
    once.observe(2)
    assert often.diagonal == pytest.approx(once.diagonal, abs=1e-12)
    assert often.cross == pytest.approx(once.cross, abs=1e-12)


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("queries", [1, 3])
def test_compiled_and_plain_loops_pick_alike(monkeypatch: pytest.MonkeyPatch, queries: int, repeats: bool) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        query = rng.normal(size=(queries, 8))
        pool = np.repeat(query.mean(axis=0) + rng.normal(size=(15, 8)), 2, axis=0)
        problem, selector = make_problem(query, pool, 25), SIFT(lam=(0.01, 0.2, 1.0)[seed % 3], repeats=repeats)
        compiled = selector.select(problem, rng)
        with monkeypatch.context() as patch:
            patch.setattr(_fast, "available", lambda: False)
            plain = selector.select(problem, rng)
        assert np.array_equal(compiled.positions, plain.positions)
        assert compiled.diagnostics == pytest.approx(plain.diagnostics, abs=1e-12)


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_a_pool_too_large_to_copy_gives_the_same_products(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(23, 7)).astype(np.float32)
    vector, some = rng.normal(size=7), np.array([3, 3, 20])
    monkeypatch.setattr(_fast, "available", lambda: False)
    plain = Rows(pool)
    assert plain.wide is not None
    monkeypatch.setattr(_rows, "COPY_LIMIT", 0)
    monkeypatch.setattr(_rows, "BLOCK", block)
    blocked = Rows(pool)
    assert blocked.wide is None
    assert np.array_equal(plain[4], blocked[4])
    assert blocked.dot(vector) == pytest.approx(plain.dot(vector), abs=1e-13)
    assert blocked.products(some) == pytest.approx(plain.products(some), abs=1e-13)
    assert np.array_equal(blocked.similarity(vector), plain.similarity(vector))
    assert np.array_equal(blocked.squares(), plain.squares())


@pytest.mark.parametrize("cls", [SIFT, SIFTLazy])
def test_selection_from_a_large_pool_is_the_same_and_needs_no_copy_of_it(
    monkeypatch: pytest.MonkeyPatch, cls: type[SIFT] | type[SIFTLazy]
) -> None:
    rng = np.random.default_rng(1)
    query = rng.normal(size=256)
    problem = make_problem(query, query + 2.0 * rng.normal(size=(20_000, 256)), 10)
    plain = cls().select(problem, rng).positions
    monkeypatch.setattr(_rows, "COPY_LIMIT", 0)
    tracemalloc.start()
    blocked = cls().select(problem, rng).positions
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(plain, blocked)
    assert peak < problem.pool.nbytes  # float64 would be twice that, and the Gram matrix 150 times
