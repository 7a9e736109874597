"""Suites in tables: their keys, what the papers' suites cost and what was published for them, and sizes of the Pile."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

from docstrings import attributes, cell, sentence
from ttft_bench.corpus.approximate import SHARD as INDEX_SHARD
from ttft_bench.corpus.pile import SHARD as TEXT_SHARD
from ttft_bench.corpus.vectors import BLOCK
from ttft_bench.sweep.cost import cost_of, duration
from ttft_bench.sweep.parts import ControlSpec, Published, Variant
from ttft_bench.sweep.suite import Suite, load_suite

PAPERS = ("paper-main", "paper-cpu", "paper-reuse")
#: Numbers of a vector of the papers' embedder, RoBERTa-large.
DIMENSION = 1024


def keys() -> str:
    """A table of every key of a suite file, with its default."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    hints = get_type_hints(Suite)
    sections = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    for field in dataclasses.fields(Suite):
        if field.name not in sections and field.name not in ("controls", "variants", "published"):
            lines.append(_key(field, field.name, attributes(Suite)))
    for name, cls in sections.items():
        lines += [_key(field, f"{name}.{field.name}", attributes(cls)) for field in dataclasses.fields(cls)]
    lines += [_key(field, f"controls[].{field.name}", attributes(ControlSpec)) for field in fields_of(ControlSpec)]
    lines.append(f"| `variants[].label` | | {sentence(cell(attributes(Variant)['label']))} |")
    lines.append("| `variants[].SECTION.KEY` | | What replaces the suite's own setting in this run. |")
    lines += [_key(field, f"published.{field.name}", attributes(Published)) for field in fields_of(Published)]
    return "\n".join(lines)


def fields_of(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The fields of a data class."""
    return dataclasses.fields(cls)


def _key(field: dataclasses.Field[Any], key: str, meanings: dict[str, str]) -> str:
    if field.name not in meanings:
        raise ValueError(f"the docstring of the class that holds {key} says nothing about it, under Attributes:")
    needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    default = "needed" if needed else _toml(field.default)
    return f"| `{key}` | {default} | {sentence(cell(meanings[field.name]))} |"


def _toml(value: Any) -> str:
    if value is None or value is dataclasses.MISSING or value == ():
        return "none"
    if isinstance(value, tuple):
        return "`[" + ", ".join(_toml(part).strip("`") for part in value) + "]`"
    shown = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    return f"`{shown or (chr(34) + value + chr(34) if isinstance(value, str) else value)}`"


def costs() -> str:
    """What the papers' suites cost: counts, at most, and about the time they take."""
    lines = [
        "| suite | what it runs | prompts | cells | steps | one H200 | 2 CPU cores |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name in PAPERS:
        suite = load_suite(name)
        cost = cost_of(suite)
        assert cost is not None
        times = f"{duration(cost.gpu_s)} | {duration(cost.cpu_s)}"
        counts = f"{cost.prompts:,} | {cost.cells:,} | {cost.steps:,}"
        lines.append(f"| `{name}` | {cell(suite.purpose)} | {counts} | {times} |")
    return "\n".join(lines)


def published() -> str:
    """Every published figure that a suite carries."""
    lines = ["| suite | quantity | of | where | published |", "|---|---|---|---|---:|"]
    for name in PAPERS:
        found = load_suite(name).published
        assert found is not None
        for figure in found.figures:
            of = "the best strategy" if figure.strategies == ("*",) else ", ".join(f"`{s}`" for s in figure.strategies)
            where = [f"at {figure.at_s} s"] if figure.at_s is not None else []
            where += [f"N = {figure.budget}"] if figure.budget is not None else []
            where += [f"r = {figure.reuse}"] if figure.reuse is not None else []
            where += [word for word in (figure.grouping, figure.subset) if word]
            cells = (f"`{name}`", f"`{figure.quantity}`", of, ", ".join(where) or f"all, on {found.device}")
            lines.append(f"| {' | '.join(cells)} | {figure.value} |")
    return "\n".join(lines)


def sizes() -> str:
    """What the Pile takes at the size of the papers' suites, and at a tenth and a hundredth of it."""
    suite = load_suite("paper-main")
    each, subsets = suite.corpus.train_per_subset or 0, len(suite.corpus.subsets or ())
    lines = [
        "| `--train-per-subset` | documents | vectors, float32 | files of text | files of vectors | index shards |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for number in (each // 100, each // 10, each):
        documents = number * subsets
        vectors = documents * DIMENSION * 4
        files = (-(-documents // size) for size in (TEXT_SHARD, BLOCK, INDEX_SHARD))
        counts = " | ".join(f"{count:,}" for count in files)
        lines.append(f"| {number:,} | {documents:,} | {vectors / 1e9:.2f} GB | {counts} |")
    return "\n".join(lines)
