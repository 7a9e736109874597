"""The installed suites in words and figures: what ``ttft-bench suites`` and the documentation show of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ttft_bench.errors import DuplicateNameError, TtftBenchError
from ttft_bench.registry import SUITES, entries
from ttft_bench.sweep.cost import Cost, cost_of, duration
from ttft_bench.sweep.rates import CPU, GPU
from ttft_bench.sweep.suite import Suite, load_suite


@dataclass(frozen=True)
class Listed:
    """One suite, or why there is none under that name.

    Attributes:
        name: as installed.
        source: distribution and version that offer it.
        suite: the suite; None if it cannot be read.
        cost: what it costs; None if that cannot be said.
        problem: why suite or cost are missing, and what to do; empty if nothing is.
        status: ok | broken (it cannot be read) | duplicate | missing-requirement (a strategy of it cannot be used).
    """

    name: str
    source: str
    suite: Suite | None = None
    cost: Cost | None = None
    problem: str = ""
    status: str = "ok"

    @property
    def variants(self) -> tuple[str, ...]:
        """Labels of its variants."""
        return tuple(variant.label for variant in self.suite.variants) if self.suite else ()

    @property
    def pool_sources(self) -> tuple[str, ...]:
        """Where candidates come from, controls included."""
        runs = [run for _, run in self.suite.runs()] if self.suite else []
        found = [run.pool.source for run in runs] + [control.pool for run in runs for control in run.controls]
        return tuple(dict.fromkeys(found))

    @property
    def leak_control(self) -> str:
        """What happens to near-duplicates of a prompt."""
        kept = {run.pool.exclude_near_duplicates for _, run in self.suite.runs()} if self.suite else set()
        words = {True: "near-duplicates excluded", False: "near-duplicates kept, strata reported"}
        return "; ".join(words[value] for value in sorted(kept))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "source": self.source,
            "status": self.status,
            "problem": self.problem,
            "leak_control": self.leak_control,
            "pool_sources": list(self.pool_sources),
            "cost": asdict(self.cost) if self.cost else None,
            "suite": asdict(self.suite) if self.suite else None,
        }


def list_suites() -> list[Listed]:
    """Every installed suite; one that cannot be read is a line that says so, and hides none of the others."""
    return [_listed(item.name, item.source) for item in entries(SUITES)]


def find_suite(name: str) -> Listed:
    """One suite by name or file.

    Raises:
        SuiteError: there is none.
    """
    suite = load_suite(name)
    source = next((item.source for item in entries(SUITES) if item.name == name), name)
    return _with_cost(name, source, suite)


def _listed(name: str, source: str) -> Listed:
    try:
        return _with_cost(name, source, load_suite(name))
    except DuplicateNameError as error:
        return Listed(name, source, problem=str(error), status="duplicate")
    except TtftBenchError as error:
        return Listed(name, source, problem=str(error), status="broken")


def _with_cost(name: str, source: str, suite: Suite) -> Listed:
    try:
        cost = cost_of(suite)
    except TtftBenchError as error:  # a strategy that is not installed
        return Listed(name, source, suite, problem=str(error), status="missing-requirement")
    return Listed(name, source, suite, cost, "" if cost else "the number of prompts is known once the corpus is read")


def facts(listed: Listed) -> list[tuple[str, str]]:
    """Everything to know about one suite, as titles and text."""
    suite, cost = listed.suite, listed.cost
    if suite is None:
        return [("problem", listed.problem)]
    select = suite.select
    runs = [run for _, run in suite.runs()]
    found = [
        ("purpose", suite.purpose),
        ("answers", suite.answers),
        ("from", listed.source),
        ("corpus", f"{suite.corpus.source}: {', '.join(suite.corpus.subsets or ('all subsets',))}"),
        ("models", _distinct([run.model.name for run in runs])),
        ("embedders", _distinct([run.pool.embedder for run in runs])),
        ("pools", f"{', '.join(listed.pool_sources)}; K = {_distinct([str(run.pool.k) for run in runs])}"),
        ("leak control", listed.leak_control),
        ("strategies", ", ".join(select.strategies)),
        ("controls", ", ".join(control.label for control in suite.controls)),
        ("budgets", ", ".join(map(str, select.budgets))),
        ("reuse", _reuse(suite)),
        ("arms", ", ".join(select.arms)),
        ("seeds", _distinct([str(run.finetune.n_seeds) for run in runs])),
        ("variants", ", ".join(listed.variants)),
        ("published", f"{len(suite.published.figures)} figures of {suite.published.source}" if suite.published else ""),
    ]
    if cost is not None:
        found += [
            (
                "at most",
                f"{cost.prompts:,} prompts{' a variant' if listed.variants else ''}, {cost.cells:,} cells, "
                f"{cost.selections:,} selections, {cost.steps:,} training steps",
            ),
            ("on 2 CPU cores", f"{duration(cost.cpu_s)} of finetuning and scoring"),
            (f"on {GPU}", f"{duration(cost.gpu_s)} of finetuning and scoring, compiling aside"),
            ("rates from", ", ".join(cost.sources)),
        ]
    found.append(("problem", listed.problem))
    return [(title, text) for title, text in found if text]


def _reuse(suite: Suite) -> str:
    words = [f"r = {', '.join(map(str, suite.select.reuse))}"]
    if max(suite.select.reuse) > 1:
        words += [", ".join(suite.select.groupings), ", ".join(suite.select.reuse_mode)]
    return "; ".join(words)


def _distinct(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))


HEADER = ("suite", "what it runs", "prompts", "cells", "steps", CPU, GPU)


def line(listed: Listed) -> tuple[str, ...]:
    """One line of the table; see :data:`HEADER`."""
    if listed.suite is None:
        return (listed.name, listed.problem, *[""] * 5)
    cost = listed.cost
    what = listed.suite.purpose
    if cost is None:
        return (listed.name, what, *[""] * 3, listed.problem, "")
    counts = (f"{cost.prompts:,}", f"{cost.cells:,}", f"{cost.steps:,}")
    return (listed.name, what, *counts, duration(cost.cpu_s), duration(cost.gpu_s))


def markdown(listed: Sequence[Listed]) -> str:
    """The table of the documentation: what each suite runs, answers, uses and costs."""
    header = ("suite", "what it runs", "what it answers", "leak control; pools", *HEADER[2:])
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * 4 + "---:|" * 5]
    for item in listed:
        name, what, *figures = line(item)
        answers = item.suite.answers if item.suite else ""
        uses = f"{item.leak_control}; {', '.join(item.pool_sources)}"
        lines.append(f"| {' | '.join((f'`{name}`', what, answers, uses, *figures))} |")
    return "\n".join(lines) + "\n"


__all__ = ["HEADER", "Listed", "facts", "find_suite", "line", "list_suites", "markdown"]
