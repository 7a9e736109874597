"""``ttft-bench corpus``: make a corpus ready, describe it, search it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.console import note, print_json, stdout
from ttft_bench.cli.corpus_leaks import leaks
from ttft_bench.cli.corpus_parts import (
    SOURCE_HELP,
    AsJson,
    Device,
    Embedder,
    Index,
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

app = typer.Typer(help="Make a corpus ready, describe it, search it.", no_args_is_help=True)


@app.command("build")
def build(
    source: Source = "minipile",
    embedder: Embedder = "all-minilm-l6-v2",
    subsets: Subsets = None,
    train_per_subset: PerSubset = None,
    prompts_per_subset: PromptsPerSubset = None,
    k: Annotated[int, typer.Option("-k", "--pool-k", min=1, help="Candidates per prompt.")] = 200,
    index: Index = "flat",
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Fetch, read, embed and index a corpus, and find every prompt's candidates. Again is instant."""
    from ttft_bench.assets import cache_dir
    from ttft_bench.corpus.embedders import open_embedder
    from ttft_bench.corpus.pools import build_pools

    start = time.perf_counter()
    corpus = load(source, subsets, train_per_subset, prompts_per_subset, seed)
    with ConsoleReporter() as reporter:
        work = _Work(reporter)
        pools = build_pools(
            corpus,
            lambda: open_embedder(embedder, device, reporter.note),
            k=k,
            index=index,
            cache=cache_dir(),
            note=reporter.note,
            on_progress=work,
        )
    if as_json:
        return print_json(
            {
                "corpus": corpus.name,
                "hash": corpus.hash,
                "documents": len(corpus.train),
                "prompts": len(corpus.prompts),
                "subsets": len(corpus.subsets),
                "embedder": pools.embedder,
                "embeddings_made": work.documents,
                "embeddings_s": work.documents_s,
                "pools": len(pools.pools),
                "pool_k": pools.k,
                "pools_cached": pools.cached,
                "embed_s": pools.embed_s,
                "retrieve_s": pools.retrieve_s,
                "index": pools.index,
                "recall": pools.recall,
                "cache": str(cache_dir()),
                "took_s": time.perf_counter() - start,
            }
        )
    new, seconds = work.documents, work.documents_s
    rate = f" ({new / seconds:.1f} documents/s)" if new and seconds > 0 else ""
    counts = f"{len(corpus.train):,} documents, {len(corpus.prompts):,} prompts, {len(corpus.subsets)} subsets"
    each = f"{pools.embed_s * 1e3:.1f} ms to embed, {pools.retrieve_s * 1e3:.2f} ms to retrieve"
    console = stdout()
    for title, line in (
        ("corpus", f"{corpus.name}: {counts}, hash {corpus.hash}"),
        ("embedder", pools.embedder),
        ("embeddings", f"{new:,} made in {seconds:.1f} s{rate}, {len(corpus.train) - new:,} from the cache"),
        ("pools", f"{len(pools.pools):,} of {pools.k} candidates, {'from the cache' if pools.cached else 'made'}"),
        ("per prompt", f"{each} (medians)"),
        ("index", (pools.index and f"{pools.index}, recall {pools.recall:.4f} against an exact scan") or "exact scan"),
        ("kept in", str(cache_dir())),
        ("took", f"{time.perf_counter() - start:.1f} s"),
    ):
        console.print(f"{title:<11}{printable(line)}")
    return None


@app.command("info")
def info(
    source: Source = "minipile",
    subsets: Subsets = None,
    train_per_subset: PerSubset = None,
    prompts_per_subset: PromptsPerSubset = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Describe a corpus: documents, prompts, groups and characters per subset, and what is cached of it."""
    from ttft_bench.assets import cache_dir
    from ttft_bench.corpus.embed import count_cached
    from ttft_bench.corpus.pools import cached_pools

    corpus = load(source, subsets, train_per_subset, prompts_per_subset, seed)
    rows = _per_subset(corpus)
    embeddings = count_cached((document.text for document in corpus.train), cache_dir())
    pools = cached_pools(cache_dir(), corpus)
    if as_json:
        described = {"corpus": corpus.name, "hash": corpus.hash, "subsets": rows}
        return print_json({**described, "cached_embeddings": embeddings, "cached_pools": pools})
    console = stdout()
    show_table(make_table(rows))
    console.print(f"corpus {printable(corpus.name)}, hash {corpus.hash}")
    for fingerprint, count in embeddings.items():
        console.print(f"cached: {count:,} of {len(corpus.train):,} embeddings by {printable(fingerprint)}")
    for pool in pools:
        kind = f"{pool['source']} {pool['k']}"
        kind += f" by {pool['index']} (recall {pool['recall']:.4f})" if pool["index"] else ""
        kind += "".join(
            f", {word}" for word in (pool["query"], pool["excluded"] and "near-duplicates excluded") if word
        )
        console.print(f"cached: {pool['prompts']:,} pools of the {kind} by {printable(pool['fingerprint'])}")
    if not pools:
        console.print("no pools are cached for it: run `ttft-bench corpus build` with the same options")
    return None


@app.command("search")
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    corpus: Annotated[str, typer.Option(help=SOURCE_HELP, autocompletion=complete.corpus)] = "minipile",
    k: Annotated[int, typer.Option("-k", min=1, help="How many documents to show.")] = 5,
    embedder: Embedder = "all-minilm-l6-v2",
    subsets: Subsets = None,
    train_per_subset: PerSubset = None,
    prompts_per_subset: PromptsPerSubset = None,
    index: Index = "flat",
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Find the training documents nearest to a text."""
    from ttft_bench.assets import cache_dir
    from ttft_bench.corpus.approximate import open_any_index
    from ttft_bench.corpus.embed import unit_rows
    from ttft_bench.corpus.embedders import open_embedder
    from ttft_bench.corpus.vectors import embed_training

    loaded = load(corpus, subsets, train_per_subset, prompts_per_subset, seed)
    model = open_embedder(embedder, device, note)
    with ConsoleReporter() as reporter:
        matrix = embed_training(
            loaded,
            model,
            cache_dir(),
            lambda done, total: reporter.progress("embedding documents", done, total),
            note=reporter.note,
        )
    query = unit_rows(model.embed([text]), [text], model)
    similarity, ids = open_any_index(matrix, index, cache_dir(), note=note).search(query, k)
    rows = []
    for score, position in zip(similarity[0], ids[0], strict=True):
        document = loaded.train[int(position)]
        rows.append(
            {
                "similarity": round(float(score), 4),
                "subset": printable(document.subset, 30),
                "group": printable(document.group, 40),
                "text": printable(document.text, 100),
            }
        )
    if as_json:
        return print_json(rows)
    show_table(make_table(rows))
    return None


class _Work:
    """Passes progress on, and remembers how many documents had to be embedded and how long that took."""

    def __init__(self, reporter: ConsoleReporter) -> None:
        self._reporter = reporter
        self._start = 0.0
        self.documents = 0
        self.documents_s = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == "documents":
            if done == 0:
                self._start = time.perf_counter()
            self.documents, self.documents_s = done, time.perf_counter() - self._start
        self._reporter.progress(f"embedding {stage}", done, total)


def _per_subset(corpus: Corpus) -> list[dict[str, Any]]:
    from collections import defaultdict
    from statistics import median

    lengths: dict[str, list[int]] = defaultdict(list)
    groups: dict[str, set[str]] = defaultdict(set)
    for document in corpus.train:  # once: a corpus on disk may hold millions
        lengths[document.subset].append(len(document.text))
        groups[document.subset].add(document.sibling_key)
    for prompt in corpus.prompts:
        groups[prompt.subset].add(prompt.sibling_key)
    return [
        {
            "subset": printable(subset),
            "documents": documents,
            "prompts": prompts,
            "groups": len(groups[subset]),
            "characters_min": min(lengths[subset], default=0),
            "characters_median": round(median(lengths[subset] or [0])),
            "characters_max": max(lengths[subset], default=0),
        }
        for subset, (documents, prompts) in corpus.counts().items()
    ]


app.command("leaks")(leaks)

__all__ = ["app"]
