"""Where the candidates of a pool come from: plain names, no imports."""

from __future__ import annotations

from typing import Literal, get_args

#: ``embedding``: largest inner product with the prompt's embedding; ``random``: drawn from all training documents, as
#: the floor; ``bm25``: best BM25 score for the words of the prompt, as another retriever.
Source = Literal["embedding", "random", "bm25"]
POOL_SOURCES: tuple[str, ...] = get_args(Source)
EMBEDDING, RANDOM, BM25 = POOL_SOURCES

_FIRST_NAMES = {EMBEDDING: "nearest"}


def hashed_name(source: str) -> str:
    """What a source is called in hashes: the name it had first, so that ids stay those of earlier runs."""
    return _FIRST_NAMES.get(source, source)


def present_name(source: str) -> str:
    """What a source is called now, given the name that an earlier run stored."""
    return next((now for now, first in _FIRST_NAMES.items() if first == source), source)


__all__ = ["BM25", "EMBEDDING", "POOL_SOURCES", "RANDOM", "Source", "hashed_name", "present_name"]
