"""What a caller gives a Lab, checked: a budget, a prompt, documents. Imports no torch: a slip is told at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ttft_bench.corpus.documents import Document
from ttft_bench.corpus.load import check_text, drop_blank, load_documents
from ttft_bench.errors import CorpusError, UsageError
from ttft_bench.lab.timing import MOST_STEPS
from ttft_bench.prefix import halves

DEFAULT_BUDGET = 20

#: What a corpus may be given as: a name or path, or the documents themselves.
Corpus = str | Path | Iterable[str | Document]


def check_budget(budget: int | None, budget_s: float | None) -> tuple[int, float | None]:
    """Steps, and seconds if those are what counts; the default number of steps if neither is given.

    Raises:
        UsageError: both are given, or one cannot be.
    """
    if budget is not None and budget_s is not None:
        raise UsageError(f"a budget is either steps or seconds, got budget={budget} and budget_s={budget_s}")
    if budget_s is not None:
        if isinstance(budget_s, bool) or not isinstance(budget_s, int | float) or not 0 < budget_s < float("inf"):
            raise UsageError(f"budget_s must be a finite number of seconds above 0, got {budget_s!r}")
        return 0, float(budget_s)
    steps = DEFAULT_BUDGET if budget is None else budget
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS:
        raise UsageError(f"budget must be a whole number of steps from 1 to {MOST_STEPS}, got {steps!r}")
    return steps, None


def check_prompt(prompt: str, protocol: str) -> str:
    """What of a prompt is searched with: all of it, or with the protocol ``prefix`` its first half.

    Raises:
        UsageError: it is blank, or no text.
    """
    if not isinstance(prompt, str):
        raise UsageError(f"the prompt is {type(prompt).__name__}: give a text (str)")
    if not prompt.strip():
        raise UsageError("the prompt is empty: give the text to adapt to")
    try:
        check_text(prompt, "the prompt")
    except CorpusError as error:
        raise UsageError(str(error)) from error
    query = halves(prompt)[0] if protocol == "prefix" else prompt
    if not query.strip():
        raise UsageError("the first half of the prompt is empty, and protocol prefix searches with it: give more text")
    return query


def read_corpus(
    corpus: Corpus,
    subsets: Sequence[str] | None,
    train_per_subset: int | None,
    seed: int,
    note: Callable[[str], None],
) -> Sequence[Document]:
    """The documents of a corpus; for the arguments see :class:`ttft_bench.lab.Lab`.

    Raises:
        CorpusError: it cannot be read, is empty, or holds something that is no text.
        UsageError: limits are given for documents that are not read here, or one is neither text nor document.
    """
    if isinstance(corpus, str | Path):
        return load_documents(str(corpus), subsets=subsets, train_per_subset=train_per_subset, seed=seed, note=note)
    if subsets is not None or train_per_subset is not None:
        raise UsageError(
            "subsets and train_per_subset belong to a corpus that is read: choose among the documents given"
        )
    documents = drop_blank(as_documents(corpus), "corpus", note)
    if not documents:
        raise CorpusError("the corpus is empty: give at least one document with text")
    return documents


def as_documents(documents: Iterable[str | Document]) -> Iterator[Document]:
    """Texts as documents; documents as they are.

    Raises:
        UsageError: one is neither.
    """
    if not isinstance(documents, Iterable):
        raise UsageError(f"documents are {type(documents).__name__}: give a list of texts (str) or Document objects")
    for number, document in enumerate(documents, start=1):
        if not isinstance(document, str | Document):
            raise UsageError(f"document {number} is {type(document).__name__}: give texts (str) or Document objects")
        yield Document(document) if isinstance(document, str) else document


def read_prompt(text: str | None, file: Path | None, protocol: str = "window") -> str:
    """The prompt that a command line names: a text, ``-`` for standard input, or a file; one final line break goes.

    Raises:
        UsageError: none or two are named, or the text is blank or not UTF-8; with the protocol ``prefix``, its first
            half is blank.
    """
    if (text is None) == (file is None):
        raise UsageError("give one prompt: a text, - for standard input, or --prompt-file FILE")
    prompt = text if text is not None and text != "-" else read_text(file)
    check_prompt(prompt, protocol)
    return prompt


def read_scored(file: Path) -> str:
    """Another text to score, as :func:`read_text` reads it.

    Raises:
        UsageError: it is blank or not UTF-8.
        OSError: it cannot be read.
    """
    text = read_text(file)
    if not text.strip():
        raise UsageError(f"{file} is empty: there is nothing to score")
    return text


def read_text(file: Path | None) -> str:
    """A file's text, or that of standard input for None and ``-``; one final line break goes.

    Raises:
        UsageError: it is not UTF-8.
        OSError: it cannot be read.
    """
    where = "standard input" if file is None or str(file) == "-" else str(file)
    data = sys.stdin.buffer.read() if where == "standard input" else Path(where).read_bytes()
    try:
        read = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 (byte {error.start}: {error.reason}): save it as UTF-8") from error
    return read.removesuffix("\n")


__all__ = [
    "DEFAULT_BUDGET",
    "Corpus",
    "as_documents",
    "check_budget",
    "check_prompt",
    "read_corpus",
    "read_prompt",
    "read_scored",
    "read_text",
]
