"""Near-duplicates between the prompts of a corpus and its training text, so that leaks are known and can be kept out.

Every prompt is held against all training documents of its corpus, not only against its own pool, and gets a stratum:

``exact``
    a training document is the same text, white space aside;
``near``
    a training document holds at least half (:data:`NEAR`) of the prompt's shingles;
``clean``
    neither.

A shingle is :data:`SHINGLE_WORDS` words in a row, lower case, punctuation aside. Candidates come from MinHash
signatures with locality-sensitive hashing (Broder 1997; Lee et al. 2022, arXiv 2107.06499, for corpora of language
models): :data:`PERMUTATIONS` permutations in :data:`BANDS` bands of :data:`ROWS`, which finds a pair of Jaccard
similarity .33 with probability .999, .2 with .93, .1 with .47. Signatures are made of passages of :data:`PASSAGE`
shingles, so that a short prompt inside a long document is found too. What was found is counted exactly, on the whole
texts. The prompts stand in the hash tables and the training documents go by once, so memory does not grow with the
corpus.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.cachefiles import Note, discard, load_arrays, one_at_a_time, save_arrays, silent
from ttft_bench.corpus.documents import Corpus, Document, normalised
from ttft_bench.corpus.substring import longest_common_substring

#: Words in a shingle; a text of fewer words is one shingle.
SHINGLE_WORDS = 5
#: Share of a prompt's shingles in one training document from which on the two are near-duplicates.
NEAR = 0.5
#: MinHash permutations, and how they are banded.
PERMUTATIONS, BANDS, ROWS = 128, 64, 2
#: Shingles under one signature.
PASSAGE = 256
#: Training documents looked at between two files of finished work.
BLOCK = 50_000

#: The setting as text: cache key, part of what identifies a run that excludes, and what people are shown.
PARAMETERS = (
    f"near-duplicates[containment={NEAR},words={SHINGLE_WORDS},permutations={PERMUTATIONS},"
    f"bands={BANDS},rows={ROWS},passage={PASSAGE}]"
)

EXACT, NEAR_DUPLICATE, CLEAN = STRATA = ("exact", "near", "clean")

_LAYOUT = 1
_WORD = re.compile(r"\w+")
_Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Leak:
    """What of one prompt stands in the training text.

    Attributes:
        stratum: ``exact``, ``near`` or ``clean``.
        duplicates: int64, ids of the exact and near documents, ascending.
        closest: id of the document that holds most of the prompt; None if none came near enough to be looked at.
        containment: share of the prompt's shingles that the closest document holds, in [0, 1]; None without one.
        jaccard: shared shingles over all shingles of the two; None without a closest document.
        common_chars: length of the longest common substring of the two, white space runs taken as one space; None
            without a closest document.
        prompt_chars: length of the prompt, white space runs taken as one space.
    """

    stratum: str
    duplicates: NDArray[np.int64]
    closest: int | None
    containment: float | None
    jaccard: float | None
    common_chars: int | None
    prompt_chars: int


@dataclass(frozen=True)
class Leaks:
    """The leaks of a corpus: prompt id -> :class:`Leak`, in the order of the prompts."""

    by_prompt: dict[str, Leak]

    @cached_property
    def duplicates(self) -> dict[str, NDArray[np.int64]]:
        """Ids of the exact and near documents of every prompt."""
        return {prompt: leak.duplicates for prompt, leak in self.by_prompt.items()}

    def describe(self, prompt_id: str) -> dict[str, Any]:
        """What the rows of a prompt say of it: ``stratum``, ``containment`` and ``common_chars``."""
        leak = self.by_prompt[prompt_id]
        return {"stratum": leak.stratum, "containment": leak.containment, "common_chars": leak.common_chars}


def find_leaks(
    corpus: Corpus,
    cache: Path | None = None,
    *,
    note: Note = silent,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Leaks:
    """Hold every prompt against the whole training text, or read from the cache what was found before.

    Args:
        corpus: prompts and training documents.
        cache: the cache folder; None keeps nothing. Work that was stopped goes on after the last finished block.
        note: told when another process is at the same corpus, which is waited for.
        on_progress: called with (done, total) training documents; never if all is cached.

    Raises:
        StorageError: the cache cannot be written.
    """
    if cache is None:
        return _leaks(corpus, _search(corpus, None, on_progress))
    path = cache / "leaks" / f"{corpus.hash}-{zlib.crc32(f'{_LAYOUT} {PARAMETERS}'.encode()):08x}.npz"
    arrays = _read(path, len(corpus.prompts))
    if arrays is None:
        with one_at_a_time(path, "looking for near-duplicates in the same corpus", note):
            arrays = _read(path, len(corpus.prompts))
            if arrays is None:
                arrays = _search(corpus, path, on_progress)
                save_arrays(path, **arrays)
                for part in path.parent.glob(f"{path.stem}.part-*.npz"):
                    discard(part)
    return _leaks(corpus, arrays)


def shingles(text: str) -> list[str]:
    """The distinct shingles of a text, in order of first appearance."""
    words = _WORD.findall(text.lower()) or [normalised(text)]
    count = max(1, len(words) - SHINGLE_WORDS + 1)
    return list(dict.fromkeys(" ".join(words[start : start + SHINGLE_WORDS]) for start in range(count)))


def containment(prompt: str, text: str) -> float:
    """Share of a prompt's shingles that a text holds, in [0, 1]; from :data:`NEAR` on the two are near-duplicates."""
    ours = frozenset(shingles(prompt))
    return len(ours.intersection(shingles(text))) / len(ours)


class _Prompts:
    """The prompts in hash tables: which of them a training document may be a near-duplicate of, and is."""

    def __init__(self, prompts: Sequence[Document]) -> None:
        from datasketch import MinHashLSH

        self.copies: dict[str, list[int]] = {}
        self.shingles: list[frozenset[str]] = []
        self._tables = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
        for row, prompt in enumerate(prompts):
            self.copies.setdefault(normalised(prompt.text), []).append(row)
            listed = shingles(prompt.text)
            self.shingles.append(frozenset(listed))
            for number, signature in enumerate(_signatures(listed)):
                self._tables.insert((row, number), signature)

    def compare(self, document: Document) -> Iterator[tuple[int, bool, float, float]]:
        """Each prompt that is worth a look: its row, whether the text is the same, containment, Jaccard similarity."""
        same = set(self.copies.get(normalised(document.text), ()))
        listed = shingles(document.text)
        found = {row for signature in _signatures(listed) for row, _ in self._tables.query(signature)}
        theirs = frozenset(listed)
        for row in sorted(found | same):
            ours = self.shingles[row]
            shared = len(ours & theirs)
            yield row, row in same, shared / len(ours), shared / (len(ours) + len(theirs) - shared)


def _signatures(listed: list[str]) -> Iterator[Any]:
    """MinHash signatures of the passages of a text."""
    from datasketch import MinHash

    parts = [[part.encode() for part in listed[start : start + PASSAGE]] for start in range(0, len(listed), PASSAGE)]
    yield from MinHash.generator(parts, num_perm=PERMUTATIONS, seed=1, hashfunc=zlib.crc32)


def _search(corpus: Corpus, path: Path | None, on_progress: Callable[[int, int], None]) -> _Arrays:
    """All that was found, with the longest common substrings of the closest pairs."""
    prompts = _Prompts(corpus.prompts)
    total = len(corpus.train)
    parts = []
    for start in range(0, total, BLOCK):
        file = path.with_name(f"{path.stem}.part-{start:09d}.npz") if path is not None and total > BLOCK else None
        arrays = load_arrays(file) if file is not None else None
        if arrays is None:
            arrays = _scan(prompts, corpus.train[start : start + BLOCK], start, total, on_progress)
            if file is not None:
                save_arrays(file, **arrays)
        parts.append(arrays)
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {**merged, "common": _common(corpus, merged)}


def _scan(
    prompts: _Prompts,
    documents: Sequence[Document],
    offset: int,
    total: int,
    on_progress: Callable[[int, int], None],
) -> _Arrays:
    """Pairs worth keeping: duplicates, and the closest document of each prompt within these."""
    kept: list[tuple[int, int, bool, float, float]] = []
    closest: dict[int, tuple[float, float, int]] = {}
    for position, document in enumerate(documents, start=offset):
        for row, same, containment, jaccard in prompts.compare(document):
            if same or containment >= NEAR:
                kept.append((row, position, same, containment, jaccard))
            closest[row] = max(closest.get(row, (0.0, 0.0, 0)), (containment, jaccard, -position))
        if (position + 1) % 200 == 0 or position + 1 == offset + len(documents):
            on_progress(position + 1, total)
    there = {(row, position) for row, position, *_ in kept}
    kept += [
        (row, -position, False, containment, jaccard)
        for row, (containment, jaccard, position) in closest.items()
        if containment > 0 and (row, -position) not in there
    ]
    kept.sort()
    rows, positions, same_text, shares, similarities = zip(*kept, strict=True) if kept else ((),) * 5
    return {
        "row": np.array(rows, dtype=np.int64),
        "document": np.array(positions, dtype=np.int64),
        "same": np.array(same_text, dtype=bool),
        "containment": np.array(shares, dtype=np.float64),
        "jaccard": np.array(similarities, dtype=np.float64),
    }


def _closest(arrays: _Arrays, row: int) -> int | None:
    """Index of the closest pair of a prompt: the same text first, then most contained, most similar, lowest id."""
    pairs = np.flatnonzero(arrays["row"] == row)
    if not len(pairs):
        return None
    keys = [-arrays[name][pairs].astype(np.float64) for name in ("jaccard", "containment", "same")]
    return int(pairs[np.lexsort((arrays["document"][pairs], *keys))[0]])


def _common(corpus: Corpus, arrays: _Arrays) -> NDArray[np.int64]:
    common = np.zeros(len(corpus.prompts), dtype=np.int64)
    for row, prompt in enumerate(corpus.prompts):
        pair = _closest(arrays, row)
        if pair is not None:
            other = corpus.train[int(arrays["document"][pair])]
            common[row] = longest_common_substring(normalised(prompt.text), normalised(other.text))
    return common


def _leaks(corpus: Corpus, arrays: _Arrays) -> Leaks:
    found = {}
    for row, prompt in enumerate(corpus.prompts):
        mine = arrays["row"] == row
        duplicate = mine & (arrays["same"] | (arrays["containment"] >= NEAR))
        pair = _closest(arrays, row)
        exact = bool((mine & arrays["same"]).any())
        found[prompt.key] = Leak(
            stratum=EXACT if exact else NEAR_DUPLICATE if duplicate.any() else CLEAN,
            duplicates=np.sort(arrays["document"][duplicate]),
            closest=None if pair is None else int(arrays["document"][pair]),
            containment=None if pair is None else float(arrays["containment"][pair]),
            jaccard=None if pair is None else float(arrays["jaccard"][pair]),
            common_chars=None if pair is None else int(arrays["common"][row]),
            prompt_chars=len(normalised(prompt.text)),
        )
    return Leaks(found)


def _read(path: Path, prompts: int) -> _Arrays | None:
    arrays = load_arrays(path)
    if arrays is None:
        return None
    pairs = ("row", "document", "same", "containment", "jaccard")
    if not {*pairs, "common"} <= arrays.keys() or len({len(arrays[name]) for name in pairs}) != 1:
        discard(path)
        return None
    return arrays if len(arrays["common"]) == prompts else None


__all__ = ["NEAR", "PARAMETERS", "STRATA", "Leak", "Leaks", "containment", "find_leaks", "shingles"]
