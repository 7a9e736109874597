"""The file that keeps the pools of a corpus: where it lies, what it says of itself, whether to trust it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.cachefiles import digest, discard, load_arrays, save_arrays
from ttft_bench.corpus.documents import Corpus

#: Version of the layout below; a file of another one is made again.
LAYOUT = 2

#: ``embedder`` and its ``fingerprint``; ``source`` of the candidates, ``k`` of them, ``seed`` of draws; what is
#: ``excluded``; what of a prompt is the ``query``; which ``index`` finds the nearest. Empty is the usual.
SETTINGS = ("embedder", "fingerprint", "source", "k", "seed", "excluded", "query", "index")

_PER_PROMPT = ("query", "sizes", "embed_s", "retrieve_s")
_PER_CANDIDATE = ("ids", "similarity")

Arrays = dict[str, NDArray[Any]]


def describe(corpus: Corpus, **settings: Any) -> dict[str, Any]:
    """All that decides the pools; a file that says anything else belongs to other pools.

    Args:
        corpus: its documents and prompts.
        settings: a value for each of :data:`SETTINGS`.
    """
    return {
        "layout": LAYOUT,
        "corpus": corpus.hash,
        **{name: settings[name] for name in SETTINGS},
        "prompts": [prompt.key for prompt in corpus.prompts],
    }


def pool_path(cache: Path, meta: dict[str, Any]) -> Path:
    """Where the pools that :func:`describe` describes are kept."""
    unusual = f"_x{digest(meta['excluded'], size=4)}" if meta["excluded"] else ""
    unusual += "_half" if meta["query"] else ""
    unusual += f"_i{digest(meta['index'], size=4)}" if meta["index"] else ""
    name = f"{meta['fingerprint']}_{meta['source']}_k{meta['k']}_s{meta['seed']}{unusual}.npz"
    return _folder(cache, meta["corpus"]) / name


def write_pools(path: Path, meta: dict[str, Any], arrays: Arrays) -> None:
    """Keep what :func:`ttft_bench.corpus.retrieve.retrieve` made."""
    save_arrays(path, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)


def read_pools(path: Path, meta: dict[str, Any], shape: tuple[int, ...]) -> Arrays | None:
    """Read what :func:`write_pools` kept.

    Args:
        path: from :func:`pool_path`.
        meta: what the file must say of itself.
        shape: of the matrix of training embeddings, (n, d).

    Returns:
        The arrays, or None if there is no such file, it is damaged, or it belongs to other pools; such a
        file is removed.
    """
    arrays = load_arrays(path)
    if arrays is None:
        return None
    # The embedder's name is a label: equal fingerprints mean equal vectors, whatever it was called.
    if _without_label(_meta(arrays)) == _without_label(meta) and _fits(arrays, len(meta["prompts"]), shape):
        return arrays
    discard(path)
    return None


def cached_pools(cache: Path, corpus: Corpus) -> list[dict[str, Any]]:
    """Describe the cached pools of a corpus: settings, number of prompts, recall, file."""
    found = []
    for path in sorted(_folder(cache, corpus.hash).glob("*.npz")):
        arrays = load_arrays(path)
        meta = _meta(arrays) if arrays else {}
        if meta.get("layout") == LAYOUT:
            shown = {
                key: meta[key]
                for key in ("embedder", "fingerprint", "source", "k", "seed", "excluded", "query", "index")
            }
            measured = float(arrays["recall"]) if arrays and "recall" in arrays else None
            found.append({**shown, "prompts": len(meta["prompts"]), "recall": measured, "file": path.name})
    return found


def _folder(cache: Path, corpus_hash: str) -> Path:
    return cache / "pools" / corpus_hash[:24]


def _meta(arrays: Arrays) -> dict[str, Any]:
    try:
        meta = json.loads(arrays["meta"].tobytes())
    except (KeyError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _without_label(meta: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in meta.items() if key != "embedder"}


def _fits(arrays: Arrays, prompts: int, shape: tuple[int, ...]) -> bool:
    """Whether the arrays agree with each other, with the prompts and with the matrix."""
    if not {*_PER_PROMPT, *_PER_CANDIDATE} <= arrays.keys():
        return False
    total = int(arrays["sizes"].sum())
    return (
        total > 0
        and all(len(arrays[name]) == prompts for name in _PER_PROMPT)
        and all(len(arrays[name]) == total for name in _PER_CANDIDATE)
        and arrays["query"].shape[-1] == shape[1]
        and bool(0 <= arrays["ids"].min() <= arrays["ids"].max() < shape[0])
    )


__all__ = ["LAYOUT", "SETTINGS", "cached_pools", "describe", "pool_path", "read_pools", "write_pools"]
