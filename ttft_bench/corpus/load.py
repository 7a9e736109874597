"""Load a corpus by name or path, split it, and limit it without moving what remains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path

from ttft_bench.assets import cache_dir
from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.pile import is_pile, load_pile
from ttft_bench.corpus.readers import read_path
from ttft_bench.corpus.split import hold_out, separate
from ttft_bench.errors import BrokenPluginError, CorpusError, TtftBenchError, UsageError
from ttft_bench.registry import ensure_importable
from ttft_bench.registry.installed import CORPORA, entries, entry, in_one_line, update_remedy
from ttft_bench.seeds import derive_seed
from ttft_bench.specs import nearest
from ttft_bench.text import printable

Note = Callable[[str], None]

#: What an entry point of ``ttft_bench.corpora`` names: it returns the documents in a fixed order. Each says
#: by its ``split`` on which side it stands, or all leave it empty and whole groups are held out here.
Builder = Callable[[Note], Iterable[Document]]


def corpus_names() -> list[str]:
    """Names of the installed corpora."""
    return sorted({item.name for item in entries(CORPORA)})


def load_corpus(
    source: str,
    *,
    subsets: Sequence[str] | None = None,
    train_per_subset: int | None = None,
    prompts_per_subset: int | None = None,
    seed: int = 0,
    note: Note = lambda message: None,
) -> Corpus:
    """Load a corpus.

    Limits choose documents in the order of a hash: what a smaller limit gives is, per subset, the beginning
    of what a larger one gives. The sides of the split do not depend on the limits.

    Args:
        source: an installed corpus (:func:`corpus_names`), or a path: ``.jsonl`` (also ``.gz``, ``.zst``),
            ``.parquet``, ``.txt``, or a folder of such files. Write ``./name`` for a path that is also
            a name. ``pile``, ``pile:OWNER/NAME`` and ``pile:PATH`` are the Pile and text of its schema, which stays on
            disk and comes in the order of the source: see :mod:`ttft_bench.corpus.pile`.
        subsets: keep only these, in this order.
        train_per_subset: most training documents per subset.
        prompts_per_subset: most prompts per subset.
        seed: which documents the limits choose, and which groups are held out if the source does not say.
        note: receives one line of progress at a time.

    Raises:
        UsageError: ``subsets`` names none.
        CorpusError: the source is missing, malformed, empty, or too small to split; a subset is unknown.
        BrokenPluginError: an installed corpus cannot be imported or built.
    """
    _refuse_no_subset(subsets)
    if is_pile(source):
        return load_pile(
            source,
            cache_dir(),
            subsets=subsets,
            train_per_subset=train_per_subset,
            prompts_per_subset=prompts_per_subset,
            seed=seed,
            note=note,
        )
    documents = _documents(source, subsets, note)
    if len(documents) == 1:
        raise CorpusError(f"corpus {source} holds one document: with it as the prompt nothing is left to train on")
    if not any(document.split for document in documents):
        documents = hold_out(documents, seed=seed)
    train, prompts, left_out = separate(documents)
    if left_out:
        note(f"{source}: {left_out} training documents left out that share a group or a text with a prompt")
    for side, what in ((train, "training documents"), (prompts, "prompts")):
        if not side:
            raise CorpusError(
                f"corpus {source} has no {what}: add documents of other groups"
                + (' (or mark some with "split": "prompt")' if side is prompts else "")
            )
    return Corpus(
        name=source,
        train=tuple(_limit(train, train_per_subset, seed)),
        prompts=tuple(_limit(prompts, prompts_per_subset, seed)),
    )


def load_documents(
    source: str,
    *,
    subsets: Sequence[str] | None = None,
    train_per_subset: int | None = None,
    seed: int = 0,
    note: Note = lambda message: None,
) -> Sequence[Document]:
    """Load the documents of a corpus that may be trained on, for prompts that come from elsewhere.

    Nothing is held out, unless the source itself says that some of its documents are prompts: they, and what shares a
    group or a text with them, stay out, as in :func:`load_corpus`.

    Args:
        source: as for :func:`load_corpus`.
        subsets: keep only these, in this order.
        train_per_subset: most documents per subset.
        seed: which documents that limit chooses.
        note: receives one line of progress at a time.

    Raises:
        UsageError: ``subsets`` names none.
        CorpusError: the source is missing, malformed or empty; a subset is unknown.
        BrokenPluginError: an installed corpus cannot be imported or built.
    """
    _refuse_no_subset(subsets)
    if is_pile(source):
        return load_pile(
            source,
            cache_dir(),
            subsets=subsets,
            train_per_subset=train_per_subset,
            prompts_per_subset=1,  # none is used; a number, because without one all that are held out are stored
            seed=seed,
            note=note,
        ).train
    documents = separate(_documents(source, subsets, note))[0]
    if not documents:
        raise CorpusError(f"corpus {source} holds prompts only: add documents that may be trained on")
    return tuple(_limit(documents, train_per_subset, seed))


def check_text(text: str, what: str) -> None:
    """Refuse what is no text.

    Raises:
        CorpusError: it holds a lone surrogate, which no encoding can write.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{what} holds a lone surrogate (character {error.start}), which is no text: replace or remove it"
        ) from error


def _refuse_no_subset(subsets: Sequence[str] | None) -> None:
    if subsets is not None and not subsets:
        raise UsageError("subsets must name a subset: leave them out for all of them")


def _documents(source: str, subsets: Sequence[str] | None, note: Note) -> list[Document]:
    documents = drop_blank(_read(source, note), f"corpus {source}", note)
    if not documents:
        raise CorpusError(f"corpus {source} is empty: it holds no document with text")
    return _keep_subsets(documents, subsets, source)


def _read(source: str, note: Note) -> Iterable[Document]:
    known = corpus_names()
    if source in known:
        return _build(source, note)
    path = Path(source).expanduser()
    if path.exists():
        return read_path(path)
    if path.suffix or len(path.parts) > 1:
        raise CorpusError(
            f"{source} does not exist: name a file, a folder, or an installed corpus ({', '.join(known)})"
        )
    raise CorpusError(
        f"unknown corpus {source!r}{nearest(source, known)} (installed: {', '.join(known) or 'none'}; "
        "or give a path, or pile)"
    )


def _build(name: str, note: Note) -> Iterable[Document]:
    item = entry(name, CORPORA)  # refuses a name that two distributions offer
    ensure_importable(name, CORPORA)
    try:
        point = metadata.EntryPoint(name, item.value, CORPORA)
        documents = list(point.load()(note))
        wrong = next((found for found in documents if not isinstance(found, Document)), None)
        if wrong is not None:
            raise TypeError(f"it yielded {type(wrong).__name__} where Document was due")
    except TtftBenchError:
        raise
    except (Exception, SystemExit) as error:
        raise BrokenPluginError(
            f"corpus {name!r} of {item.source} cannot be built: {in_one_line(error)}; {update_remedy(item)}"
        ) from error
    return documents


def drop_blank(documents: Iterable[Document], where: str, note: Note = lambda message: None) -> list[Document]:
    """Documents with text, in order.

    Args:
        documents: any.
        where: names them in messages, e.g. "corpus my-notes/".
        note: told how many had no text.

    Raises:
        CorpusError: one holds a lone surrogate, which is no text.
    """
    everything = list(documents)
    for number, document in enumerate(everything, start=1):
        check_text(document.text, f"{where}: document {number}")
    kept = [document for document in everything if document.text.strip()]
    if len(kept) < len(everything):
        note(f"{where}: {len(everything) - len(kept)} documents without text dropped")
    return kept


def _keep_subsets(documents: list[Document], subsets: Sequence[str] | None, source: str) -> list[Document]:
    by_subset: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        by_subset[document.subset].append(document)
    for name in subsets or ():
        if name not in by_subset:
            known = ", ".join(printable(known, 40) for known in by_subset)
            raise CorpusError(f"corpus {source} has no subset {name!r}{nearest(name, by_subset)} (it has: {known})")
    return [document for name in dict.fromkeys(subsets or by_subset) for document in by_subset[name]]


def _limit(documents: list[Document], per_subset: int | None, seed: int) -> list[Document]:
    """The first ``per_subset`` documents of each subset in hash order; subsets keep their order."""
    by_subset: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        by_subset[document.subset].append(document)
    kept: list[Document] = []
    for members in by_subset.values():
        # The sort is stable, so equal texts keep the order of the source.
        members.sort(key=lambda document: derive_seed("corpus", "choice", seed, document.key))
        kept += members[:per_subset]
    return kept


__all__ = ["Builder", "Note", "check_text", "corpus_names", "drop_blank", "load_corpus", "load_documents"]
