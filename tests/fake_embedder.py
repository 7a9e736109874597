"""A tiny embedder for tests: words hashed to coordinates, so that texts which share words are near."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.embed import embed_texts


class HashingEmbedder:
    name = "hashing"
    fingerprint = "hashing-0001"
    dimension = 32
    batch_size = 4

    def __init__(self, bad: dict[str, float] | None = None, fail_after: int | None = None) -> None:
        self.bad = bad or {}
        self.fail_after = fail_after
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.fail_after is not None and len(self.embedded) + len(texts) > self.fail_after:
            raise KeyboardInterrupt
        self.embedded.extend(texts)
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> NDArray[np.float32]:
        vector = np.zeros(self.dimension, dtype=np.float32)
        for word in text.split():
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
            vector += np.random.default_rng(seed).standard_normal(self.dimension).astype(np.float32)
        for word, value in self.bad.items():
            if word in text:
                return np.full(self.dimension, value, dtype=np.float32)
        return vector / np.linalg.norm(vector)


def embed_and_count(texts: Sequence[str], cache: Path, found: multiprocessing.Queue[int]) -> None:
    """What a second process does: embed, and say how many texts it had to embed itself."""
    embedder = HashingEmbedder()
    embed_texts(texts, embedder, cache)
    found.put(len(embedder.embedded))
