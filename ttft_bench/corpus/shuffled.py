"""A control of the embedding: every document has the vector of another one, prompts have their own.

Whatever is then found, picked and reconstructed is arbitrary text. If a low reconstruction error still went with a
high gain, the embedding would not be the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.seeds import derive_rng

PREFIX, SUFFIX = "shuffled[", "]"


class ShuffledEmbedder:
    """``shuffled[NAME]``: embeds as ``inner`` does; its documents are dealt each other's vectors afterwards."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.name = f"{PREFIX}{inner.name}{SUFFIX}"
        self.batch_size = getattr(inner, "batch_size", 32)

    @property
    def fingerprint(self) -> str:
        """That of ``inner``, marked."""
        return f"shuffled-{self.inner.fingerprint}"

    @property
    def dimension(self) -> int:
        """Length d of a vector."""
        return int(self.inner.dimension)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as one batch: shape (n, d)."""
        rows: NDArray[np.float32] = self.inner.embed(texts)
        return rows

    def deal(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rows in an order in which none stays where it was (but for a single one); shape (n, d), read-only."""
        order = derive_rng("shuffled-embeddings", len(rows)).permutation(len(rows))
        dealt = np.empty_like(rows)
        dealt[order] = rows[np.roll(order, 1)]
        dealt.flags.writeable = False
        return dealt


def inner_name(name: str) -> str | None:
    """``NAME`` of ``shuffled[NAME]``; None for any other name."""
    if name.startswith(PREFIX) and name.endswith(SUFFIX):
        return name.removeprefix(PREFIX).removesuffix(SUFFIX)
    return None


__all__ = ["ShuffledEmbedder", "inner_name"]
