"""A damaged file of the cache is removed; what another process put in its place meanwhile is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ttft_bench.corpus import cachefiles
from ttft_bench.corpus.cachefiles import discard, is_intact, load_arrays, save_arrays, write_sealed


def _seal(path: Path) -> None:
    write_sealed(path, lambda handle: handle.write(b"good" * 10))


def test_a_seal_tells_a_whole_file_from_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "matrix-x.npy"
    assert not is_intact(path)
    _seal(path)
    assert is_intact(path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], b"g0" + whole[2:], whole[:10], b""):
        path.write_bytes(damaged)
        assert not is_intact(path) and not path.exists()


def test_a_sealed_file_that_is_mended_while_it_is_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "matrix-x.npy"
    path.write_bytes(b"damaged" * 10)
    real = cachefiles._digest_of

    def mended_meanwhile(*arguments):
        monkeypatch.setattr(cachefiles, "_digest_of", real)
        _seal(path)
        return real(*arguments)

    monkeypatch.setattr(cachefiles, "_digest_of", mended_meanwhile)
    assert not is_intact(path), "what was read was damaged"
    assert path.exists() and is_intact(path)


def test_an_archive_that_is_mended_while_it_is_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows-x.npz"
    path.write_bytes(b"PK\x03\x04 damaged")
    real = np.load

    def mended_meanwhile(*arguments, **options):
        save_arrays(path, rows=np.eye(2))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", mended_meanwhile)
        assert load_arrays(path) is None
    found = load_arrays(path)
    assert found is not None and np.array_equal(found["rows"], np.eye(2))
    assert load_arrays(path, only=("keys",)) == {}
    with path.open("rb") as handle:
        discard(path, handle)
    assert not path.exists() and load_arrays(path) is None
