"""``ttft-bench corpus leaks``: how much of the prompts stands in the training text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ttft_bench.cli.console import print_json, stdout
from ttft_bench.cli.corpus_parts import (
    AsJson,
    PerSubset,
    PromptsPerSubset,
    Seed,
    Source,
    Subsets,
    load,
    make_table,
)
from ttft_bench.cli.progress import ConsoleReporter
from ttft_bench.cli.tables import show_table
from ttft_bench.text import printable

if TYPE_CHECKING:
    from ttft_bench.corpus.documents import Corpus
    from ttft_bench.corpus.leaks import Leak, Leaks


def leaks(
    source: Source = "minipile",
    subsets: Subsets = None,
    train_per_subset: PerSubset = None,
    prompts_per_subset: PromptsPerSubset = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Hold every prompt against the whole training text: the same text, near-duplicates, common substrings."""
    from ttft_bench.assets import cache_dir
    from ttft_bench.corpus.leaks import PARAMETERS, find_leaks

    corpus = load(source, subsets, train_per_subset, prompts_per_subset, seed)
    with ConsoleReporter() as reporter:
        found = find_leaks(
            corpus,
            cache_dir(),
            note=reporter.note,
            on_progress=lambda done, total: reporter.progress("near-duplicates", done, total),
        )
    rows = _per_subset(corpus, found)
    if as_json:
        return print_json({"corpus": corpus.name, "hash": corpus.hash, "parameters": PARAMETERS, "subsets": rows})
    console = stdout()
    show_table(make_table(rows))
    console.print(f"corpus {printable(corpus.name)}, hash {corpus.hash}")
    console.print(f"duplicate if {PARAMETERS}")
    return None


def _per_subset(corpus: Corpus, found: Leaks) -> list[dict[str, Any]]:
    """One row per subset, and one of all: prompts per stratum, and the largest overlaps with one document."""
    names = [*corpus.subsets, None] if len(corpus.subsets) > 1 else list(corpus.subsets)
    rows = []
    for subset in names:
        mine = [prompt for prompt in corpus.prompts if subset in (None, prompt.subset)]
        if mine:
            label = "all" if subset is None else printable(subset)
            rows.append(_row(label, [found.by_prompt[prompt.key] for prompt in mine]))
    return rows


def _row(label: str, leaks: list[Leak]) -> dict[str, Any]:
    from ttft_bench.corpus.leaks import STRATA

    counts = {stratum: sum(leak.stratum == stratum for leak in leaks) for stratum in STRATA}
    return {
        "subset": label,
        "prompts": len(leaks),
        **counts,
        "duplicated_pct": 100 * (1 - counts["clean"] / len(leaks)),
        "documents_excluded": sum(len(leak.duplicates) for leak in leaks),
        "containment_max": max((leak.containment or 0.0 for leak in leaks), default=0.0),
        "common_chars_max": max((leak.common_chars or 0 for leak in leaks), default=0),
        "common_pct_max": max((100 * (leak.common_chars or 0) / leak.prompt_chars for leak in leaks), default=0.0),
    }


__all__ = ["leaks"]
