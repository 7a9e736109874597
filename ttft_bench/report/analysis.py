"""Everything a report says, computed once from a run: the figures, the tables and the page only draw it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttft_bench.report.groups import MIN_PROMPTS_TO_RANK, Estimate, Group, aggregate
from ttft_bench.report.paired.split import SCOPE_COLUMNS, TIME_SCOPE, varying_columns
from ttft_bench.report.pareto import group_frontier
from ttft_bench.report.stats import Key, Row, is_measured, settle
from ttft_bench.report.variants import tell_apart

#: Finetuning on random corpus documents: what any finetuning gives, chosen or not.
RANDOM_CONTROL = "random-corpus"


@dataclass(frozen=True)
class Incident:
    """Rows of one setting that share a status and a reason."""

    key: Key
    status: str
    reason: str
    count: int
    subsets: tuple[str, ...]


@dataclass(frozen=True)
class Ranked:
    """A place in the ranking; ``tied`` if its interval overlaps that of the first."""

    place: int
    group: Group
    tied: bool


@dataclass(frozen=True)
class Series:
    """One strategy and reuse setting over its budgets."""

    groups: tuple[Group, ...]

    @property
    def largest(self) -> Group:
        """The group of the largest budget with a measurement; else of the largest budget."""
        return next((group for group in reversed(self.groups) if group.bpb is not None), self.groups[-1])


@dataclass(frozen=True)
class Analysis:
    """A run in figures.

    ``frontier`` and ``best`` look only at groups that cover the same prompts. ``mixed`` are the columns that one table
    must not mix, with the values they have: the report says so at its top. ``lanes`` are the numbers above one of
    prompts that were at work at once where a time was measured.
    """

    groups: tuple[Group, ...]
    series: tuple[Series, ...]
    subsets: tuple[str, ...]
    prompts: frozenset[str]
    comparable: tuple[Group, ...]
    frontier: tuple[Group, ...]
    failures: tuple[Incident, ...]
    remarks: tuple[Incident, ...]
    mixed: Mapping[str, tuple[str, ...]]
    lanes: tuple[int, ...]
    n_rows: int

    @property
    def control(self) -> Group | None:
        """The control to stand beside the best, at its largest budget: random corpus documents, else another one.

        Of several arms, learning rates and trainable sets it has those of the best if it can, so that the documents
        are what differs. The untouched model was trained on nothing, and is no control of choosing.
        """
        found = [group for group in self.groups if group.control and group.bpb and not group.key.is_untouched]
        named = [group for group in found if group.key.strategy == RANDOM_CONTROL]
        alike = [group for group in named or found if self.best and _trained(group.key) == _trained(self.best.key)]
        return next(reversed(alike or named or found), None)

    @property
    def best(self) -> Group | None:
        """The comparable setting with the lowest mean; the cheaper one (smaller budget) if two agree."""
        return min(self.comparable, key=lambda group: (_mean(group), group.key.budget), default=None)

    def is_complete(self, group: Group) -> bool:
        """Whether a group measured every prompt of the run."""
        return group.prompts == self.prompts

    def coverage(self, group: Group) -> str:
        """``6``, or ``4/6`` where prompts are missing."""
        n, total = len(group.prompts), len(self.prompts)
        return str(n) if n == total else f"{n}/{total}"

    @property
    def can_rank(self) -> bool:
        """Whether the order of means may be stated: enough prompts, and the same ones for everybody."""
        return len(self.prompts) >= MIN_PROMPTS_TO_RANK and any(map(self.is_complete, self.comparable))

    @property
    def ranking(self) -> tuple[Ranked, ...]:
        """Comparable settings at the largest common budget, best first; empty where none is due."""
        if not self.can_rank:
            return ()
        budgets = Counter(group.key.budget for group in self.comparable)
        widest = max(budgets.values())
        at = max(budget for budget, count in budgets.items() if count == widest)
        ordered = sorted((group for group in self.comparable if group.key.budget == at), key=_mean)
        first = ordered[0].bpb
        return tuple(
            Ranked(place, group, tied=place > 1 and _overlap(group.bpb, first))
            for place, group in enumerate(ordered, start=1)
        )


def analyse(rows: Sequence[Row], manifest: Mapping[str, Any]) -> Analysis:
    """Compute the analysis of result rows; every key of the manifest is optional."""
    rows, controls = tell_apart(settle(rows), manifest, control_labels(manifest))
    groups = aggregate(rows, controls)
    prompts = frozenset(str(row.get("prompt_id")) for row in rows)
    comparable = _comparable(groups, prompts)
    subsets = tuple(sorted({str(row.get("subset") or "") for row in rows} - {""}))
    return Analysis(
        groups=groups,
        series=_series(groups),
        subsets=subsets,
        prompts=prompts,
        comparable=comparable,
        frontier=tuple(group_frontier(comparable)),
        failures=_incidents([row for row in rows if not is_measured(row)]),
        remarks=_incidents([row for row in rows if is_measured(row) and row.get("reason")]),
        # Variants are told apart by name, but not what only times depend on.
        mixed=varying_columns(rows, TIME_SCOPE if manifest.get("variants") else SCOPE_COLUMNS),
        lanes=_several_lanes(rows),
        n_rows=len(rows),
    )


def _several_lanes(rows: Sequence[Row]) -> tuple[int, ...]:
    counts = {row.get("lanes") for row in rows if is_measured(row)}
    return tuple(sorted(count for count in counts if isinstance(count, int) and count > 1))


def control_labels(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Labels of the controls as the plan states them; a run without a plan has the usual one."""
    plan = manifest.get("plan")
    stated = plan.get("controls") if isinstance(plan, Mapping) else None
    if not isinstance(stated, list | tuple):
        return frozenset({RANDOM_CONTROL})
    return frozenset(str(label) for label in stated)


def _comparable(groups: Sequence[Group], prompts: frozenset[str]) -> tuple[Group, ...]:
    # A mean over the prompts that happened to succeed flatters its group: compare complete groups only,
    # unless the run was cut short and none is complete (a note then says so).
    measured = tuple(group for group in groups if not group.control and group.bpb is not None)
    complete = tuple(group for group in measured if group.prompts == prompts)
    return complete or measured


def _series(groups: Sequence[Group]) -> tuple[Series, ...]:
    lines: defaultdict[tuple[Any, ...], list[Group]] = defaultdict(list)
    for group in groups:
        lines[group.key.series].append(group)
    return tuple(Series(tuple(members)) for members in lines.values())


def _incidents(rows: Sequence[Row]) -> tuple[Incident, ...]:
    members: defaultdict[tuple[Key, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        status, reason = str(row.get("status") or "unknown"), str(row.get("reason") or "")
        if status == "ok" and not is_measured(row):
            reason = reason or "the row says ok but carries no finite bpb_pct"
        members[(Key.of(row), status, reason)].append(row)
    return tuple(
        Incident(
            key,
            status,
            reason,
            len(part),
            tuple(sorted({str(row.get("subset") or "") for row in part} - {""})),
        )
        for (key, status, reason), part in sorted(
            members.items(), key=lambda item: (item[0][0].series, item[0][0].budget, item[0][1:])
        )
    )


def _trained(key: Key) -> tuple[str, float | None, str]:
    return key.arm, key.lr, key.trainable


def _mean(group: Group) -> float:
    assert group.bpb is not None
    return group.bpb.mean


def _overlap(one: Estimate | None, other: Estimate | None) -> bool:
    return one is not None and other is not None and bool(one.overlaps(other))


__all__ = ["RANDOM_CONTROL", "Analysis", "Incident", "Ranked", "Series", "analyse", "control_labels"]
