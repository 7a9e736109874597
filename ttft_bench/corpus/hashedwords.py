"""An embedder without a model: counted words, hashed to coordinates (Weinberger et al., ICML 2009).

``hashed-words[d=1024]`` knows nothing but which words two texts share. It needs no download, so that an ablation over
embedders runs anywhere, and it is as far from a trained sentence encoder as an embedder that still works can be.
Vectors are scikit-learn's ``HashingVectorizer``: lower case, signed hashing, unit rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.errors import SpecError

NAME = "hashed-words"
LEAST, MOST = 16, 1 << 20
#: Words and single marks: code is full of both.
_WORD = r"\w+|[^\w\s]"


class HashedWords:
    """Texts as signed counts of their words in ``d`` coordinates, scaled to length 1."""

    batch_size = 64

    def __init__(self, d: int = 1024) -> None:
        if not LEAST <= d <= MOST:
            raise SpecError(f"{NAME}: d must be between {LEAST} and {MOST}, got {d}")
        self.dimension = d
        self.name = NAME if d == 1024 else f"{NAME}[d={d}]"
        self.fingerprint = f"{NAME}-{d}-1"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit rows, shape (n, d)."""
        rows: NDArray[np.float32] = self._vectorizer.transform(texts).toarray().astype(np.float32)
        return rows

    @cached_property
    def _vectorizer(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(n_features=self.dimension, token_pattern=_WORD, norm="l2", alternate_sign=True)


__all__ = ["NAME", "HashedWords"]
