"""Embedders by name: sentence encoders, hashed words, and the control that deals embeddings out at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.cachefiles import Note, silent
from ttft_bench.corpus.embed import Embedder
from ttft_bench.corpus.hashedwords import NAME, HashedWords
from ttft_bench.corpus.sentence import DEFAULT_EMBEDDER, load_embedder
from ttft_bench.errors import SpecError
from ttft_bench.seeds import derive_rng
from ttft_bench.specs import parse_spec

SHUFFLED = "shuffled["


class Shuffled:
    """A control: training documents have each other's embeddings, prompts have their own.

    Selection goes on as ever, over vectors with the same geometry, but what it finds has nothing to do with the text it
    stands for. What still follows from residual or similarity then does not come from the documents.
    """

    def __init__(self, base: Embedder) -> None:
        self.base = base
        self.name = f"{SHUFFLED}{base.name}]"
        self.fingerprint = f"shuffled-{base.fingerprint}"
        self.batch_size = getattr(base, "batch_size", 32)

    @property
    def dimension(self) -> int:
        """Length d of a vector."""
        return self.base.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The true embeddings; documents are dealt out by :meth:`deal`, since only all of them can be."""
        return self.base.embed(texts)

    def deal(self, n: int) -> NDArray[np.int64]:
        """Whose embedding each of ``n`` documents gets."""
        return derive_rng("embedder", "shuffled", n).permutation(n)


def open_embedder(name: str = DEFAULT_EMBEDDER, device: str = "cpu", note: Note = silent) -> Embedder:
    """Find an embedder.

    Args:
        name: ``hashed-words[d=1024]``, ``shuffled[NAME]``, or what
            :func:`ttft_bench.corpus.sentence.load_embedder` knows.
        device: where a model will run, as torch spells it.
        note: receives one line per download.

    Raises:
        SpecError: a parameter is unknown or cannot be.
        ModelError, AssetError: a model cannot be fetched or used.
    """
    if name.startswith(SHUFFLED):
        inner = name.removeprefix(SHUFFLED).removesuffix("]").strip()
        if not name.endswith("]") or not inner or inner.startswith(SHUFFLED):
            raise SpecError(f"embedder {name!r} must be {SHUFFLED}NAME] of another embedder")
        return Shuffled(open_embedder(inner, device, note))
    if name == NAME or name.startswith(f"{NAME}["):
        return HashedWords.of(parse_spec(name, "embedder"))
    return load_embedder(name, device, note)


__all__ = ["SHUFFLED", "Shuffled", "open_embedder"]
