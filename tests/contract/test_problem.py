"""What a problem may be made of."""

from __future__ import annotations

import numpy as np
import pytest

from ttft_bench.errors import EmbeddingError
from ttft_bench.selector import make_problem

ROWS = np.eye(3)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e30, 1e200])
def test_rows_are_unit_rows_whatever_their_scale(scale: float) -> None:
    rng = np.random.default_rng(0)
    query, pool = rng.normal(size=4), rng.normal(size=(5, 4))
    problem = make_problem(query * scale, pool * scale, 1)
    np.testing.assert_allclose(np.linalg.norm(problem.pool, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(problem.pool, pool / np.linalg.norm(pool, axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pool": ROWS * 1j}, "pool must hold real numbers, got an array of type complex128"),
        ({"pool": [["a", "b", "c"]]}, "pool must hold real numbers"),
        ({"pool": [[1.0, 2.0, 3.0], [1.0]]}, "pool is no array of numbers"),
        ({"pool": None}, "pool must hold real numbers"),
        ({"pool": ROWS * 0.0}, "pool row 0 has norm zero"),
        ({"query": [np.nan, 0.0, 1.0]}, "query row 0 holds NaN or infinity"),
        ({"ids": [0.5, 1, 2]}, "ids must be whole numbers"),
        ({"ids": [np.nan, 1, 2]}, "ids must be whole numbers"),
        ({"ids": ["a", "b", "c"]}, "ids must be whole numbers"),
        ({"ids": [1, 2]}, "ids must have one entry for each of the 3 pool rows"),
        ({"n_tokens": [1, -1, 1]}, "n_tokens must not be negative, got -1"),
    ],
)
def test_bad_parts_are_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(EmbeddingError, match=words):
        make_problem(**({"query": ROWS[0], "pool": ROWS, "budget": 1} | changes))  # type: ignore[arg-type]
