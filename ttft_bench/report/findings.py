"""All statistics and answers of a run, computed once: what pages, tables and the command line show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttft_bench.errors import DataError, UsageError
from ttft_bench.report.analysis import control_labels
from ttft_bench.report.idle import without_idle_reuse
from ttft_bench.report.paired import (
    By,
    Family,
    ForestLine,
    SettingSummary,
    TimeTable,
    bpb_at_times,
    compare_all,
    forest,
    split_rows,
    split_scopes,
    split_shuffled,
    summarise_settings,
)
from ttft_bench.report.paired.at_time import line_label
from ttft_bench.report.paired.compare import partner_of
from ttft_bench.report.paired.prompts import by_setting
from ttft_bench.report.paired.split import QUALITY_SCOPE, SCOPE_COLUMNS, shuffled_beside, timed_alike
from ttft_bench.report.published import PublishedTable, beside_published
from ttft_bench.report.questions import (
    Falsifier,
    Finding,
    ResidualAnswer,
    WorthAnswer,
    answer_residual,
    answer_worth,
    evaluate,
    read_alignment,
    read_files,
    with_alignment,
)
from ttft_bench.report.stats import Key, Row, settle

if TYPE_CHECKING:
    from ttft_bench.sweep.store import Run


@dataclass(frozen=True)
class Part:
    """Statistics of one part of the prompts (all, a stratum or a subset)."""

    name: str
    summaries: tuple[SettingSummary, ...]
    family: Family
    times: TimeTable


@dataclass(frozen=True)
class Forest:
    """One setting against the reference, by subset."""

    setting: Key
    reference: Key
    lines: tuple[ForestLine, ...]


@dataclass(frozen=True)
class Scope:
    """Rows that may be compared; ``name`` says what tells the scope from others, empty if there are none."""

    name: str
    reference: str
    parts: tuple[Part, ...]
    forests: tuple[Forest, ...]
    residual: ResidualAnswer
    worth: WorthAnswer


@dataclass(frozen=True)
class Findings:
    """A run in figures and answers.

    Attributes:
        by: which parts of the prompts have tables of their own.
        scopes: statistics of rows that may be compared.
        falsifiers: what each claim came to.
        falsifier_faults: what is wrong with files of falsifiers that cannot be read; their claims are missing.
        warnings: what was dropped while reading.
        published: what the suite says that others found, beside its own.
    """

    by: By
    scopes: tuple[Scope, ...]
    falsifiers: tuple[Finding, ...]
    falsifier_faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    published: tuple[PublishedTable, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data, outcomes as words."""
        found: dict[str, Any] = dataclasses.asdict(self)
        return found


def find(
    path: Path,
    *,
    by: By = "all",
    reference: str | None = None,
    times_s: Sequence[float] | None = None,
    falsifiers: Sequence[Path] = (),
    across_devices: bool = False,
) -> Findings:
    """Compute the findings of the run in folder ``path``.

    Args:
        path: a run folder; a side file of gradient alignments in it is read.
        by: which parts of the prompts get tables of their own.
        reference: strategy that others are compared with; None for the first one that the plan names.
        times_s: times for quality at equal time, seconds per prompt; None for times that follow from the run's.
        falsifiers: files of falsifiers; one that cannot be used is told in :attr:`Findings.falsifier_faults`.
        across_devices: compare qualities of rows from different devices, backends and numbers of lanes, which differ by
            rounding; times are then those of the most frequent one.

    Raises:
        UsageError: the folder does not exist, or no row is of the reference.
        DataError: the folder holds no rows.
    """
    from ttft_bench.sweep.store import load_run

    run = load_run(path)
    if not run.rows:
        raise DataError(f"the run in '{path}' has no rows yet; run or resume its sweep")
    rows, warnings = read_rows(run)
    claims, faults = read_files(falsifiers)
    return find_in(
        rows,
        run.manifest,
        by=by,
        reference=reference,
        times_s=times_s,
        claims=claims,
        faults=faults,
        across_devices=across_devices,
        warnings=warnings,
    )


def read_rows(run: Run) -> tuple[list[Row], tuple[str, ...]]:
    """Rows of a run without idle reuse, with gradient alignments where it has some, and all warnings of reading."""
    alignment, warnings = read_alignment(run.path)
    return with_alignment(without_idle_reuse(run.rows), alignment), (*run.warnings, *warnings)


def find_in(
    rows: Sequence[Row],
    manifest: Mapping[str, Any],
    *,
    by: By = "all",
    reference: str | None = None,
    times_s: Sequence[float] | None = None,
    claims: Sequence[Falsifier] = (),
    faults: Sequence[str] = (),
    across_devices: bool = False,
    warnings: Sequence[str] = (),
) -> Findings:
    """As :func:`find`, from rows and manifest, and from what :func:`read_files` found."""
    controls = control_labels(manifest)
    true, shuffled = split_shuffled(rows)
    chosen = reference or usual_reference(true, manifest, controls)
    if reference and not any(row.get("strategy") == reference for row in true):
        known = sorted({str(row.get("strategy")) for row in true})
        raise UsageError(f"no row is of strategy {reference!r}; the run has {', '.join(known)}")
    columns = QUALITY_SCOPE if across_devices else SCOPE_COLUMNS
    parts = split_scopes(true, columns)
    beside = {name: shuffled_beside(part, shuffled, columns) for name, part in parts.items()}
    scopes = tuple(_scope(name, part, beside[name], by, chosen, times_s, controls) for name, part in parts.items())
    if shuffled and not any(beside.values()):
        alone = "rows with shuffled embeddings are beside none of the others: more than the embedder differs"
        warnings = (*warnings, alone)
    published = beside_published(true, manifest)
    return Findings(by, scopes, evaluate(claims, rows, columns), tuple(faults), tuple(warnings), published)


def usual_reference(rows: Sequence[Row], manifest: Mapping[str, Any], controls: frozenset[str]) -> str:
    """The strategy that others are compared with: the first one the plan names, else the first by name.

    Chosen by the plan, never by the result: a reference picked for its figures would bias every comparison.
    """
    present = {str(row.get("strategy")) for row in rows if row.get("arm") != "none"}
    plan = manifest.get("plan")
    stated = plan.get("strategies") if isinstance(plan, Mapping) else None
    named = [str(name) for name in stated if name in present] if isinstance(stated, list | tuple) else []
    return next(iter(named or sorted(present - controls) or sorted(present)), "")


def _scope(
    name: str,
    rows: Sequence[Row],
    shuffled: Sequence[Row],
    by: By,
    reference: str,
    times_s: Sequence[float] | None,
    controls: frozenset[str],
) -> Scope:
    settled = settle(rows)
    parts = split_rows(settled, by)
    if by != "all":
        parts = {"all": settled, **parts}
    return Scope(
        name=name,
        reference=reference,
        parts=tuple(_part(label, part, reference, times_s) for label, part in parts.items()),
        forests=_forests(settled, reference),
        residual=answer_residual(rows, shuffled),
        worth=answer_worth(timed_alike(rows), times_s, controls),
    )


def _part(name: str, rows: Sequence[Row], reference: str, times_s: Sequence[float] | None) -> Part:
    keys = by_setting(rows)
    line = next((line_label(key) for key in keys if (key.strategy, key.arm) == (reference, "finetune")), "")
    return Part(
        name,
        summarise_settings(rows),
        compare_all(rows, reference),
        bpb_at_times(timed_alike(rows), times_s, reference=line),
    )


def _forests(rows: Sequence[Row], reference: str) -> tuple[Forest, ...]:
    """Every finetuned strategy without reuse at its largest budget against the reference, by subset."""
    members = by_setting(rows)
    largest: dict[tuple[Any, ...], Key] = {}
    for key in members:
        if key.reuse_interval == 1 and key.arm == "finetune" and key.strategy != reference:
            largest[key.series] = max(key, largest.get(key.series, key), key=lambda item: item.budget)
    found = []
    for key in largest.values():
        partner = partner_of(key, members, reference)
        if partner is not None:
            found.append(Forest(key, partner, forest(key, partner, rows, lambda part: split_rows(part, "subset"))))
    return tuple(found)


__all__ = ["Findings", "Forest", "Part", "Scope", "find", "find_in", "read_rows", "usual_reference"]
