"""Plain data: a :class:`Document`, and a :class:`Corpus` of training documents and prompts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

#: What a document may say about the split; empty leaves the decision to :mod:`ttft_bench.corpus.split`.
TRAIN, PROMPT = "train", "prompt"


@dataclass(frozen=True)
class Document:
    """One text.

    Attributes:
        text: the text itself.
        subset: domain it belongs to; results are reported per subset.
        group: documents of one group (article, module, licence family) never stand on both sides of the
            split; empty means that the document is alone in its group.
        split: ``train``, ``prompt``, or empty to let the framework decide.
    """

    text: str
    subset: str = "default"
    group: str = ""
    split: str = ""

    @cached_property
    def key(self) -> str:
        """Content hash of the text: 16 hex digits, equal for equal texts."""
        # surrogatepass: JSON may hold a lone surrogate, and such a text has a hash like any other.
        return hashlib.blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @property
    def sibling_key(self) -> str:
        """What documents of one group share; a document without a group has its own."""
        return self.group or f"={self.key}"


#: Key, subset and group of a document.
Identity = tuple[str, str, str]


@dataclass(frozen=True)
class Corpus:
    """A corpus that is ready for use. The id of a training document is its index in ``train``.

    Attributes:
        name: what it was loaded as.
        train: documents that may be selected, by subset; a tuple, or a sequence that reads them from disk.
        prompts: held-out documents, by subset; no group and no text of theirs is in ``train``.
    """

    name: str
    train: Sequence[Document]
    prompts: tuple[Document, ...]

    @cached_property
    def hash(self) -> str:
        """Content hash (16 hex digits) of the documents on both sides in their order; not of the name."""
        digest = hashlib.blake2b(digest_size=8)
        for side in (self.train, self.prompts):
            for key, subset, group in identities(side):
                digest.update(f"{key}\x1f{subset}\x1f{group}\x1e".encode())
            digest.update(b"\x1d")
        return digest.hexdigest()

    @cached_property
    def subsets(self) -> tuple[str, ...]:
        """Names of the subsets, in order of their first document."""
        return tuple(dict.fromkeys(subset for side in (self.train, self.prompts) for _, subset, _ in identities(side)))

    def counts(self) -> dict[str, tuple[int, int]]:
        """Training documents and prompts per subset."""
        train, prompts = (Counter(subset for _, subset, _ in identities(side)) for side in (self.train, self.prompts))
        return {subset: (train[subset], prompts[subset]) for subset in self.subsets}


def identities(documents: Sequence[Document]) -> Iterator[Identity]:
    """Key, subset and group of each document; documents on disk say so without their texts being read."""
    stored = getattr(documents, "identities", None)
    if stored is not None:
        yield from stored()
        return
    for document in documents:
        yield document.key, document.subset, document.group


def normalised(text: str) -> str:
    """The text with every run of white space as one space: texts equal in this sense are duplicates."""
    return " ".join(text.split())


__all__ = ["PROMPT", "TRAIN", "Corpus", "Document", "Identity", "identities", "normalised"]
