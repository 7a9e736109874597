"""What the commands of ``ttft-bench corpus`` share: their flags, loading, and how rows are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.console import note
from ttft_bench.cli.parsing import parse_names

if TYPE_CHECKING:
    from ttft_bench.corpus.documents import Corpus

SOURCE_HELP = "A built-in corpus, a JSONL or Parquet file, a folder of text files, or pile[:PATH or hub id]."

Source = Annotated[str, typer.Argument(help=SOURCE_HELP, show_default=True, autocompletion=complete.corpus)]
Embedder = Annotated[
    str, typer.Option(help="Asset, local folder or hub id of a sentence embedder.", autocompletion=complete.embedder)
]
Device = Annotated[
    str,
    typer.Option(help="Where the embedder runs: cpu, cuda, mps.", autocompletion=complete.words("cpu", "cuda", "mps")),
]
Subsets = Annotated[str | None, typer.Option(help="Only these subsets, separated by commas.")]
PerSubset = Annotated[int | None, typer.Option(min=1, help="Training documents kept per subset.")]
PromptsPerSubset = Annotated[int | None, typer.Option(min=1, help="Prompts held out per subset.")]
Seed = Annotated[int, typer.Option(help="Decides which documents are kept and which are held out.")]
Index = Annotated[
    str, typer.Option("--index", help="flat (exact), ivf[lists=0,probes=32] or hnsw[m=32,build=200,search=256].")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load(
    source: str, subsets: str | None, train_per_subset: int | None, prompts_per_subset: int | None, seed: int
) -> Corpus:
    """Load the corpus that the flags describe."""
    from ttft_bench.corpus import load_corpus

    return load_corpus(
        source,
        subsets=parse_names(subsets),
        train_per_subset=train_per_subset,
        prompts_per_subset=prompts_per_subset,
        seed=seed,
        note=note,
    )


def make_table(rows: list[dict[str, Any]]) -> Any:
    """Rows as a table; numbers to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, value in rows[0].items() if rows else ():
        table.add_column(name.replace("_", " "), justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


__all__ = [
    "SOURCE_HELP",
    "AsJson",
    "Device",
    "Embedder",
    "Index",
    "PerSubset",
    "PromptsPerSubset",
    "Seed",
    "Source",
    "Subsets",
    "load",
    "make_table",
]
