"""The Pile, or any text of its schema: ``{"text": ..., "meta": {"pile_set_name": ...}}``, one record at a time.

A source is written ``pile`` (the uncopyrighted mirror, :data:`MIRROR`), ``pile:OWNER/NAME`` or
``pile:OWNER/NAME@REVISION`` (another repository of a hub, read through the library ``datasets``) or ``pile:PATH`` (a
JSONL file, also ``.gz`` or ``.zst``, or a folder of them). Text stays on disk, whatever its size
(:mod:`ttft_bench.corpus.stored`):

1. Prompts come first: from the test and validation files, of each subset those whose hash is smallest. Where there is
   no such file, documents whose hash falls in one part of :data:`HELD_OUT_ONE_IN` are held out.
2. Training documents follow in the order of the source, subset by subset until its limit; what equals a prompt, white
   space aside, is left out. Each :data:`SHARD` of them become a file, with the place in the source where the next
   begins.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ttft_bench.corpus.cachefiles import Note, digest, one_at_a_time, silent, write_atomically
from ttft_bench.corpus.documents import Corpus, Document, normalised
from ttft_bench.corpus.pilestreams import MIRROR, HubStream, LocalStream, Record, Stream
from ttft_bench.corpus.stored import StoredDocuments, read_documents, write_documents
from ttft_bench.errors import CorpusError
from ttft_bench.seeds import derive_seed
from ttft_bench.specs import nearest
from ttft_bench.text import printable

#: Training documents per file.
SHARD = 10_000
#: Prompts per subset that are stored even if fewer are asked for, so that a smaller request stores nothing anew.
PROMPTS = 500
#: Where a source has no test file, one document in so many is held out.
HELD_OUT_ONE_IN = 50

_LAYOUT = 1
_PREFIX = "pile"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def is_pile(source: str) -> bool:
    """Whether a corpus source names the Pile or text of its schema."""
    return source == _PREFIX or source.startswith(f"{_PREFIX}:")


def open_stream(source: str) -> Stream:
    """The records that a source names; nothing is read yet.

    Raises:
        CorpusError: neither a path that exists nor a hub id.
    """
    place = source.partition(":")[2].strip() or MIRROR
    path = Path(place).expanduser()
    if path.exists():
        return LocalStream(path)
    if not _HUB_ID.fullmatch(place) or path.suffix in (".jsonl", ".zst", ".gz"):
        raise CorpusError(f"{source}: {place} is neither a file or folder nor a hub id such as {MIRROR}")
    return HubStream(place)


@dataclass(frozen=True)
class _Wanted:
    """What is taken of a stream; all of it decides the content of the store."""

    source: str
    content: str
    subsets: tuple[str, ...] | None
    train_per_subset: int | None
    prompts_per_subset: int | None
    seed: int

    @property
    def key(self) -> str:
        parts = (self.content, self.subsets, self.train_per_subset, self.prompts_per_subset, self.seed, SHARD, _LAYOUT)
        return digest(json.dumps(parts))


def load_pile(
    source: str,
    cache: Path,
    *,
    subsets: Sequence[str] | None = None,
    train_per_subset: int | None = None,
    prompts_per_subset: int | None = None,
    seed: int = 0,
    note: Note = silent,
) -> Corpus:
    """Store what is wanted of the Pile, or open what was stored before; the arguments are those of ``load_corpus``.

    Raises:
        CorpusError: the source cannot be read, a record is malformed, or a subset is unknown.
        StorageError: the cache cannot be written.
    """
    stream = open_stream(source)
    kept = tuple(dict.fromkeys(subsets)) if subsets else None
    stored = None if prompts_per_subset is None else max(prompts_per_subset, PROMPTS)
    wanted = _Wanted(source, stream.content, kept, train_per_subset, stored, seed)
    folder = cache / "corpora" / f"pile-{wanted.key}"
    corpus = _open(folder, wanted)
    if corpus is None:
        with one_at_a_time(folder / "store", f"storing {source}", note):
            corpus = _open(folder, wanted)
            if corpus is None:
                _store(folder, stream, wanted, note)
                corpus = _open(folder, wanted)
    if corpus is None:
        raise CorpusError(f"the stored documents of {source} cannot be read back: delete {folder}")
    corpus = replace(corpus, prompts=tuple(_first(corpus.prompts, prompts_per_subset)))
    for side, what in ((corpus.train, "training documents"), (corpus.prompts, "prompts")):
        if not len(side):
            raise CorpusError(f"corpus {source} has no {what}: give more of it, or other subsets")
    return corpus


def _first(prompts: Sequence[Document], per_subset: int | None) -> Iterator[Document]:
    counts = Counter[str]()
    for prompt in prompts:
        counts[prompt.subset] += 1
        if per_subset is None or counts[prompt.subset] <= per_subset:
            yield prompt


def _open(folder: Path, wanted: _Wanted) -> Corpus | None:
    try:
        whole = json.loads((folder / "whole.json").read_text(encoding="utf-8"))
        shards = int(whole["shards"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    prompts = read_documents(folder / "prompts.arrow")
    opened = [read_documents(_shard(folder, number)) for number in range(shards)]
    tables = [found[0] for found in opened if found is not None]
    if prompts is None or len(tables) < shards:
        with suppress(OSError):  # a file was damaged: what is left of the work goes on from there
            (folder / "whole.json").unlink()
        return None
    return Corpus(
        name=wanted.source,
        train=StoredDocuments(tables, wanted.key),
        prompts=tuple(StoredDocuments([prompts[0]], wanted.key)),
    )


def _shard(folder: Path, number: int) -> Path:
    return folder / f"train-{number:06d}.arrow"


def _store(folder: Path, stream: Stream, wanted: _Wanted, note: Note) -> None:
    """Prompts, then training documents file by file, from where an earlier attempt stopped."""
    found = read_documents(folder / "prompts.arrow")
    if found is None:
        note(f"{wanted.source}: choosing prompts")
        prompts, names = _choose_prompts(stream, wanted)
        write_documents(folder / "prompts.arrow", prompts, {"subsets": names})
        found = read_documents(folder / "prompts.arrow")
        assert found is not None
    # Without a choice of subsets it is those seen so far that have to reach their limit.
    subsets = wanted.subsets or found[1]["subsets"]
    copies = {_text_key(document.text) for document in StoredDocuments([found[0]], wanted.key)}
    number, cursor, counts = 0, None, Counter[str]()
    while (before := read_documents(_shard(folder, number))) is not None:
        facts = before[1]
        number, cursor, counts = number + 1, facts["cursor"], Counter(facts["counts"])
    if number:
        note(f"{wanted.source}: going on after {sum(counts.values()):,} stored training documents")
    reader = stream.train(cursor)
    pending: list[Document] = []
    # Where the last file of an earlier attempt ended the stream, there is nothing more to store.
    for record in reader if not _full(counts, subsets, wanted.train_per_subset) else ():
        document = _document(record)
        if document is None or not _is_wanted(document, wanted, counts):
            continue
        if (not stream.has_test and _held_out(document, wanted.seed)) or _text_key(document.text) in copies:
            continue
        counts[document.subset] += 1
        pending.append(document)
        full = _full(counts, subsets, wanted.train_per_subset)
        if len(pending) == SHARD or full:
            write_documents(_shard(folder, number), pending, {"cursor": stream.cursor(), "counts": counts})
            number, pending = number + 1, []
            if number % 10 == 0:
                note(f"{wanted.source}: {sum(counts.values()):,} training documents stored")
        if full:
            break
    if pending:
        write_documents(_shard(folder, number), pending, {"cursor": stream.cursor(), "counts": counts})
        number += 1
    data = json.dumps({"source": wanted.source, "shards": number, "documents": dict(counts)}, indent=2).encode()
    write_atomically(folder / "whole.json", lambda handle: handle.write(data))


def _choose_prompts(stream: Stream, wanted: _Wanted) -> tuple[list[Document], list[str]]:
    """Of each subset the held-out documents of smallest hash, in that order, equal texts once; and all subsets seen."""
    best: dict[str, list[tuple[int, str, Document]]] = defaultdict(list)
    seen: dict[str, set[str]] = defaultdict(set)
    names: set[str] = set()
    for record in stream.test() if stream.has_test else stream.train(None):
        document = _document(record)
        if document is None:
            continue
        names.add(document.subset)
        outside = wanted.subsets is not None and document.subset not in wanted.subsets
        if outside or not (stream.has_test or _held_out(document, wanted.seed)):
            continue
        heap, texts = best[document.subset], seen[document.subset]
        if document.key in texts:
            continue
        # The largest hash stands first in the heap, as the smallest of negative numbers.
        entry = (-derive_seed("corpus", "choice", wanted.seed, document.key), document.key, document)
        texts.add(document.key)
        heapq.heappush(heap, entry)
        if wanted.prompts_per_subset is not None and len(heap) > wanted.prompts_per_subset:
            texts.discard(heapq.heappop(heap)[1])
    for name in wanted.subsets or ():
        if name not in names:
            known = ", ".join(printable(known, 40) for known in sorted(names))
            raise CorpusError(f"corpus {wanted.source} has no subset {name!r}{nearest(name, names)} (it has: {known})")
    order = wanted.subsets or sorted(best)
    return [document for name in order for _, _, document in sorted(best[name], reverse=True)], sorted(names)


def _document(record: Record) -> Document | None:
    """A record as a document; None if it has no text.

    Raises:
        CorpusError: the record has another schema.
    """
    text, meta = record.values.get("text"), record.values.get("meta")
    subset = meta.get("pile_set_name") if isinstance(meta, dict) else None
    if not isinstance(text, str) or not isinstance(subset, str):
        raise CorpusError(
            f'{record.where}: not a record of the Pile; it must look like {{"text": "...", "meta": {{"pile_set_name": '
            '"..."}}'
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{record.where}: a lone surrogate (character {error.start}), which is no text") from error
    return Document(text, subset) if text.strip() else None


def _is_wanted(document: Document, wanted: _Wanted, counts: Counter[str]) -> bool:
    if wanted.subsets is not None and document.subset not in wanted.subsets:
        return False
    return wanted.train_per_subset is None or counts[document.subset] < wanted.train_per_subset


def _full(counts: Counter[str], subsets: Iterable[str], limit: int | None) -> bool:
    """Whether no document of these subsets can be wanted any more."""
    return limit is not None and all(counts[name] >= limit for name in subsets)


def _held_out(document: Document, seed: int) -> bool:
    return derive_seed("pile", "held-out", seed, document.key) % HELD_OUT_ONE_IN == 0


def _text_key(text: str) -> str:
    return digest(normalised(text), size=8)


__all__ = ["HELD_OUT_ONE_IN", "SHARD", "is_pile", "load_pile", "open_stream"]
