"""Problems for ``select_many``, and its answers beside those of the loop."""

from __future__ import annotations

import numpy as np
import pytest

from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem, Selection, make_problem, validate_selection


def problem(
    seed: int, *, size: int = 30, d: int = 12, budget: int = 9, rows: int = 1, doubled: bool = False
) -> Problem:
    rng = np.random.default_rng(seed)
    pool = rng.standard_normal((size, d)) + 1.0
    if doubled:
        pool[size // 2 :] = pool[: size - size // 2]
    return make_problem(rng.standard_normal((rows, d)) + 1.0, pool, budget)


def both(spec: str, problems: list[Problem], device: str | None) -> list[tuple[Problem, Selection, Selection]]:
    selector = build_selector(spec)
    rngs = [np.random.default_rng(0) for _ in problems]
    together = selector.select_many(problems, rngs, **({} if device is None else {"device": device}))
    alone = [selector.select(one, rng) for one, rng in zip(problems, rngs, strict=True)]
    for one, selection in zip(problems, together, strict=True):
        validate_selection(selection, one, selector)
    return list(zip(problems, together, alone, strict=True))


def assert_equal(problem: Problem, many: Selection, one: Selection) -> None:
    np.testing.assert_array_equal(problem.pool[many.positions], problem.pool[one.positions])
    assert many.status == one.status
    assert many.diagnostics == pytest.approx(dict(one.diagnostics), abs=1e-10)
    if one.weights is not None:
        assert many.weights is not None
        np.testing.assert_allclose(many.weights @ problem.pool, one.weights @ problem.pool, atol=1e-7)
        assert many.objective == pytest.approx(one.objective, abs=1e-9)
        assert many.gap == pytest.approx(one.gap, abs=1e-9)
