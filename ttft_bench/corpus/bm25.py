"""Candidates by BM25: the classic ranking by shared words, through the library ``bm25s``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.errors import UsageError


class WordIndex:
    """Training documents by their words: BM25 as in Lucene, k1 = 1.5 and b = 0.75, no stop words, no stemming.

    Args:
        texts: the training documents, in the order of their ids.

    Raises:
        UsageError: ``bm25s`` is not installed.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._library = import_library()
        tokens = self._tokens(texts)
        self._size = len(tokens)
        self._index = self._library.BM25(method="lucene", k1=1.5, b=0.75)
        if any(tokens):  # an index of no words at all cannot be made, and would rank nothing
            self._index.index(tokens, show_progress=False)

    def search(self, text: str, k: int, never: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of the k best documents: best score first, ties and documents without a shared word by lowest id.

        Args:
            text: what to look for; all its words count.
            k: how many; fewer come back where there are no more.
            never: ids that must not be found.
        """
        (words,) = self._tokens([text])
        known = [word for word in words if word in self._vocabulary]
        scores = np.zeros(self._size, dtype=np.float32)
        if known:
            scores = np.array(self._index.get_scores(known), dtype=np.float32)
        scores[never] = -np.inf
        order = np.argsort(-scores, kind="stable")
        return order[: min(k, self._size - len(never))].astype(np.int64)

    @property
    def _vocabulary(self) -> dict[str, int]:
        return getattr(self._index, "vocab_dict", None) or {}

    def _tokens(self, texts: Iterable[str]) -> list[list[str]]:
        found: Any = self._library.tokenize(
            list(texts), stopwords=None, return_ids=False, show_progress=False, allow_empty=False
        )
        return [list(words) for words in found]


def import_library() -> Any:
    """The library, imported when it is needed.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import bm25s
    except ImportError as error:
        raise UsageError(
            "pool source 'bm25' needs the library bm25s, which is not installed: pip install 'ttft-bench[bm25]'"
        ) from error
    return bm25s


__all__ = ["WordIndex", "import_library"]
