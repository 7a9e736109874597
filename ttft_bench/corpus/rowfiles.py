"""Finished vectors of one embedder in the cache: ``rows-*.npz``, each with the keys of some texts and their rows.

A file is never changed under its name. Which keys each holds is remembered within a process, so that a look for a few
texts reads a folder's listing, the keys of files that are new in it, and of vectors those files only that hold them.
Small files, as adding single texts leaves them, are put together when there are many.

Whoever finds or keeps holds the lock of the folder (:func:`ttft_bench.corpus.cachefiles.one_at_a_time`); files that
vanish all the same, because a user removes them, are vectors that are not there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.cachefiles import digest, discard, load_arrays, save_arrays

#: A file of fewer rows is small; so many small ones become one.
SMALL_ROWS = 64
MOST_SMALL = 64


class RowFiles:
    """The files of one folder, and what is known of them.

    Args:
        folder: ``embeddings/<fingerprint>``; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: dict[str, list[str]] = {}  # of each file, by name
        self._place: dict[str, str] = {}  # of each key: a file that holds it

    def keys(self) -> Collection[str]:
        """The keys of all texts that have a vector."""
        there = {path.name for path in self._folder.glob("rows-*.npz")}
        self._forget(self._keys.keys() - there)
        for name in sorted(there - self._keys.keys()):
            arrays = load_arrays(self._folder / name, only=("keys",))
            if arrays is not None:
                self._learn(name, arrays["keys"].tolist() if "keys" in arrays else [])
        return self._place.keys()

    def find(self, wanted: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of those keys that have one; a file that proves damaged is removed, and its vectors with it."""
        known = self.keys()
        holders: dict[str, list[str]] = {}
        for key in wanted:
            if key in known:
                holders.setdefault(self._place[key], []).append(key)
        found: dict[str, NDArray[np.float32]] = {}
        for name, held in holders.items():
            rows = self._read(name)
            if rows is not None:
                found.update((key, rows[key]) for key in held if key in rows)
        return found

    def keep(self, keys: Sequence[str], rows: NDArray[np.float32]) -> None:
        """Keep the vectors of some texts.

        Raises:
            StorageError: the folder cannot be written.
        """
        self._write(keys, rows)
        small = [name for name, held in self._keys.items() if len(held) < SMALL_ROWS]
        if len(small) >= MOST_SMALL:
            self._put_together(small)

    def _put_together(self, names: Sequence[str]) -> None:
        """The rows of some files in one; they go when it is there, so that no moment lacks a vector."""
        merged: dict[str, NDArray[np.float32]] = {}
        for name in names:
            merged |= self._read(name) or {}
        if len({row.shape for row in merged.values()}) == 1:
            written = self._write(list(merged), np.stack(list(merged.values())))
            gone = [name for name in names if name != written]
            for name in gone:
                discard(self._folder / name)
            self._forget(gone)

    def _write(self, keys: Sequence[str], rows: NDArray[np.float32]) -> str:
        name = f"rows-{digest(*keys)}.npz"
        save_arrays(self._folder / name, keys=np.array(keys), rows=rows)
        self._learn(name, list(keys))
        return name

    def _read(self, name: str) -> dict[str, NDArray[np.float32]] | None:
        arrays = load_arrays(self._folder / name)
        if arrays is None or not {"keys", "rows"} <= arrays.keys() or len(arrays["keys"]) != len(arrays["rows"]):
            discard(self._folder / name)
            self._forget([name])
            return None
        return dict(zip(arrays["keys"].tolist(), arrays["rows"], strict=True))

    def _learn(self, name: str, keys: list[str]) -> None:
        self._keys[name] = keys
        self._place.update(dict.fromkeys(keys, name))

    def _forget(self, names: Collection[str]) -> None:
        for name in names:
            self._keys.pop(name, None)
        if names:  # another file may hold a key too
            self._place = {key: name for name, keys in self._keys.items() for key in keys}


#: What one process knows of the folders that it used last.
row_files = lru_cache(maxsize=4)(RowFiles)

__all__ = ["RowFiles", "row_files"]
