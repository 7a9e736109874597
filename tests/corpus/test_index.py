from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ttft_bench.corpus.index import open_index
from ttft_bench.errors import EmbeddingError, UsageError


def _unit(rows: int, d: int = 24, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((rows, d))
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 7, 300, 1000])
def test_agrees_with_a_full_sort(k: int) -> None:
    matrix, queries = _unit(300), _unit(5, seed=1)
    similarity, ids = open_index(matrix).search(queries, k)
    exact = queries.astype(np.float64) @ matrix.astype(np.float64).T
    np.testing.assert_array_equal(ids, np.argsort(-exact, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(similarity, -np.sort(-exact, axis=1)[:, :k], atol=1e-6)
    assert similarity.dtype == np.float32 and ids.dtype == np.int64


def test_one_query_and_many_give_the_same_bits() -> None:
    index = open_index(_unit(500))
    queries = _unit(40, seed=2)
    together = index.search(queries, 9)
    for row, query in enumerate(queries):
        alone = index.search(query, 9)
        np.testing.assert_array_equal(alone[0][0], together[0][row])
        np.testing.assert_array_equal(alone[1][0], together[1][row])


def test_ties_go_to_the_lowest_id_even_across_the_cut() -> None:
    matrix = _unit(400)
    same = [5, 17, 60, 61, 62, *range(100, 250), 399]
    matrix[same] = matrix[5]
    similarity, ids = open_index(matrix).search(matrix[5], 10)
    np.testing.assert_array_equal(ids[0], same[:10])
    assert len(set(similarity[0].tolist())) == 1


def test_identical_rows() -> None:
    _, ids = open_index(np.repeat(_unit(1), 50, axis=0)).search(_unit(1), 20)
    np.testing.assert_array_equal(ids[0], np.arange(20))


def test_kept_on_disk_and_rebuilt_when_damaged(tmp_path: Path) -> None:
    matrix = _unit(50)
    expected = open_index(matrix, tmp_path).search(matrix[3], 5)
    (path,) = tmp_path.rglob("*.faiss")
    written = path.stat().st_mtime_ns
    open_index(matrix, tmp_path)
    assert path.stat().st_mtime_ns == written
    data = bytearray(path.read_bytes())
    data[-500] ^= 0xFF
    path.write_bytes(data)
    again = open_index(matrix, tmp_path).search(matrix[3], 5)
    np.testing.assert_array_equal(expected[1], again[1])
    assert path.read_bytes() != bytes(data)
    open_index(_unit(50, seed=9), tmp_path)
    assert len(list(tmp_path.rglob("*.faiss"))) == 2


def test_bad_input() -> None:
    index = open_index(_unit(10))
    with pytest.raises(UsageError, match="at least 1"):
        index.search(_unit(1), 0)
    with pytest.raises(EmbeddingError, match="24 dimensions"):
        index.search(_unit(1, d=8), 1)
    with pytest.raises(EmbeddingError, match="NaN"):
        index.search(np.full(24, np.nan), 1)
    with pytest.raises(EmbeddingError, match="nothing to index"):
        open_index(np.empty((0, 24), dtype=np.float32))


@pytest.mark.parametrize("order", ["torch, faiss", "faiss, torch"])
def test_lives_beside_torch_in_either_order(order: str) -> None:
    """Both bring an OpenMP runtime; neither order of import may need KMP_DUPLICATE_LIB_OK."""
    code = f"""
import {order}
import numpy as np
from ttft_bench.corpus.index import open_index
rows = np.eye(64, dtype=np.float32)
torch.ones(600, 600) @ torch.ones(600, 600)
index = open_index(rows)
print(index.search(rows[:30], 1)[1].ravel().tolist() == list(range(30)))
torch.ones(600, 600) @ torch.ones(600, 600)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "True"
