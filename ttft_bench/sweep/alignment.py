"""Gradient alignment of the rows of a run, as a side file beside them: computed afterwards, on any machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttft_bench.errors import CorpusError, DataError, UsageError
from ttft_bench.sweep import store
from ttft_bench.sweep.picks import Picks, read_picks

if TYPE_CHECKING:
    import torch

    from ttft_bench.engine.alignment import GradientSketcher
    from ttft_bench.sweep.request import Reporter


def align_run(
    folder: Path, reporter: Reporter, *, picks: Path | None = None, device: str = "auto", weights: str = "last[k=1]"
) -> int:
    """Write a line to ``alignment.jsonl`` for every finished row that has none on these weights yet.

    Args:
        folder: of a run.
        reporter: is told how it is getting on.
        picks: folder with the texts; ``folder`` itself if not given.
        device: where gradients are computed.
        weights: whose gradients; see :class:`ttft_bench.engine.alignment.GradientSketcher`.

    Returns:
        Number of lines written.

    Raises:
        CorpusError: the folder holds no run, or lacks the texts, or the texts are of another corpus.
        UsageError: its rows are of several models or corpora.
    """
    rows = [row for row in store.load_run(folder).rows if row["status"] == "ok" and row["document_ids"]]
    known = {
        record["cell_id"]
        for record in store.read_journal(folder / store.ALIGNMENT)[0]
        if record.get("weights") == weights and record.get("cell_id")
    }
    todo = [row for row in rows if row["cell_id"] not in known]
    if len(todo) < len(rows):
        reporter.note(f"{len(rows) - len(todo)} of {len(rows)} rows are aligned already, {len(todo)} to go")
    if not todo:
        return 0
    source = picks or folder
    _check_corpus(folder, source)
    stored = read_picks(source)
    _check_texts(source, todo, stored)
    sketcher = _open_sketcher(folder, todo, device, weights, reporter)
    by_prompt: dict[str, list[dict[str, Any]]] = {}
    for row in todo:
        by_prompt.setdefault(row["prompt_id"], []).append(row)
    done = 0
    with store.writing(folder), store.Journal(folder / store.ALIGNMENT) as journal:
        for prompt_id, some in by_prompt.items():
            for row, value in _align_prompt(sketcher, stored, stored.prompts[prompt_id]["text"], some):
                journal.append(
                    {"cell_id": row["cell_id"], "alignment": value, "weights": weights, "size": sketcher.size}
                )
            done += len(some)
            reporter.progress("alignment", done, len(todo))
    return done


def _align_prompt(
    sketcher: GradientSketcher, picks: Picks, text: str, rows: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], float | None]]:
    """Every gradient once, however many rows share it."""
    from ttft_bench.engine.alignment import cosine

    limit = rows[0]["max_tokens"]
    documents = list(dict.fromkeys(document for row in rows for document in row["document_ids"]))
    prompt, *others = _sketch_texts(sketcher, [text, *(picks.texts[document] for document in documents)], limit)
    sketches = dict(zip(documents, others, strict=True))
    found = []
    for row in rows:
        counts = Counter(row["document_ids"])
        parts = {document: sketch for document in counts if (sketch := sketches[document]) is not None}
        whole = prompt is not None and len(parts) == len(counts)
        found.append((row, cosine(prompt, parts, counts) if whole and prompt is not None else None))
    return found


def _sketch_texts(sketcher: GradientSketcher, texts: Sequence[str], max_tokens: int) -> list[torch.Tensor | None]:
    """None for a text in which nothing can be predicted: its rows say null."""
    from ttft_bench.engine.score import training_sequence

    sequences: dict[int, torch.Tensor] = {}
    for index, text in enumerate(texts):
        with suppress(DataError):
            sequences[index] = training_sequence(sketcher.model, text, max_tokens)
    found = dict(zip(sequences, sketcher.sketch_all(list(sequences.values())), strict=True))
    return [found.get(index) for index in range(len(texts))]


def _check_corpus(folder: Path, source: Path) -> None:
    """Rows and texts must number the same documents; a run that does not say which ones is taken at its word."""
    made, there = (
        ((store.read_manifest(path) or {}).get("identity") or {}).get("train_documents") for path in (folder, source)
    )
    if isinstance(made, list):
        raise UsageError(
            f"{folder} has rows of {len(made)} corpora, which number their documents apart: align the runs one by one, "
            "and merge them again"
        )
    if made and there and made != there:
        raise CorpusError(
            f"{source} has the texts of another corpus (training documents {there}) than {folder} was made with "
            f"({made}): say with --picks which folder has the picks of this run"
        )


def _check_texts(folder: Path, rows: Sequence[Mapping[str, Any]], picks: Picks) -> None:
    wanted = {document for row in rows for document in row["document_ids"]}
    missing = len(wanted - set(picks.texts)) + len({row["prompt_id"] for row in rows} - set(picks.prompts))
    if missing:
        raise CorpusError(
            f"{folder / store.DOCUMENTS} lacks {missing} text(s) that rows name: say with --picks which folder has "
            "the picks of this run (texts are never part of a curated run)"
        )


def _open_sketcher(
    folder: Path, rows: Sequence[Mapping[str, Any]], device: str, weights: str, reporter: Reporter
) -> GradientSketcher:
    from ttft_bench.assets import resolve_source
    from ttft_bench.engine.alignment import GradientSketcher
    from ttft_bench.engine.host import fit_threads, keep_freed_memory
    from ttft_bench.engine.model import load_model

    models = sorted({str(row["model"]) for row in rows})
    if len(models) > 1:
        raise UsageError(f"{folder} has rows of {len(models)} models ({', '.join(models)}): align the runs one by one")
    suite = (store.read_manifest(folder) or {}).get("suite", {})
    start_token = suite.get("model", {}).get("start_token", "auto")
    fit_threads()
    keep_freed_memory()
    source = resolve_source(models[0], reporter.note)
    return GradientSketcher(load_model(source, name=models[0], device=device, start_token=start_token), weights)


__all__ = ["align_run"]
