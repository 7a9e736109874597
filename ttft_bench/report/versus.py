"""Two runs beside each other: which settings differ, and what became of every setting they share, prompt by prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttft_bench.errors import DataError
from ttft_bench.report import format as fmt
from ttft_bench.report.markdown import plain
from ttft_bench.report.paired.compare import Comparison, compare, family
from ttft_bench.report.paired.markdown import FAMILY_CAPTION, figure, lines, p_value
from ttft_bench.report.paired.prompts import by_setting, per_prompt
from ttft_bench.report.paired.split import SCOPE_COLUMNS, split_scopes, varying_columns
from ttft_bench.report.stats import Key, Row, settle, spread, total_seconds

#: What is always different between two runs, and says nothing about their settings.
_BORING = ("argv", "started", "finished")
#: Parts of a setting that are left out of it where they tell no two settings apart.
_SETTLED = ("lr", "trainable")
#: Column that says which run a row is of, while rows of several are split together.
_RUN = "(run)"

Members = dict[tuple[str, Key], list[Row]]


@dataclass(frozen=True)
class Difference:
    """One value that differs; None where a run does not have it."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Change:
    """One setting that both runs have.

    Attributes:
        scope: what tells its rows from others of the runs; empty if nothing does.
        comparison: run B minus run A.
        n_identical: prompts whose BPB% is the same to the last digit.
        total_a_s: median seconds per prompt in run A.
        total_b_s: median seconds per prompt in run B.
    """

    scope: str
    comparison: Comparison
    n_identical: int
    total_a_s: float | None
    total_b_s: float | None


@dataclass(frozen=True)
class Versus:
    """What changed from run A to run B.

    Attributes:
        a: folder of run A.
        b: folder of run B.
        settings: differences of suite, plan, identity and the rows' own columns.
        provenance: differences of versions, commit and machine.
        changes: settings that both have, B minus A, corrected as one family.
        only_a: settings that only run A has.
        only_b: settings that only run B has.
        warnings: what was dropped while reading.
    """

    a: str
    b: str
    settings: tuple[Difference, ...]
    provenance: tuple[Difference, ...]
    changes: tuple[Change, ...]
    only_a: tuple[tuple[str, Key], ...]
    only_b: tuple[tuple[str, Key], ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)


def compare_runs(a: Path, b: Path) -> Versus:
    """Compare the runs in two folders.

    Rows are paired by prompt, seed and setting, not by cell id, which changes with every setting. What has but one
    value within each of the runs (a model, a learning rate) is no part of a setting, so that runs which differ in it
    pair; where one of them has several, it is a part of both, so that what they share is found.

    Raises:
        UsageError: a folder does not exist.
        DataError: a folder holds no rows.
    """
    from ttft_bench.sweep.store import load_run

    runs = [load_run(a), load_run(b)]
    for run in runs:
        if not run.rows:
            raise DataError(f"the run in '{run.path}' has no rows yet, so there is nothing to compare")
    first, second = _members(runs[0].rows, runs[1].rows)
    shared = [place for place in first if place in second]
    comparisons = family(
        [compare(key, second[scope, key], key, first[scope, key]) for scope, key in shared]
    ).comparisons
    changes = tuple(
        Change(
            scope,
            item,
            _identical(first[scope, key], second[scope, key]),
            _total(first[scope, key]),
            _total(second[scope, key]),
        )
        for (scope, key), item in zip(shared, comparisons, strict=True)
    )
    stated = [dict(_flat({part: run.manifest.get(part) for part in ("suite", "plan", "identity")})) for run in runs]
    made = [dict(_flat(run.manifest.get("provenance") or {})) for run in runs]
    columns = [{f"rows.{name}": _values(run.rows, name) for name in (*SCOPE_COLUMNS, *_SETTLED)} for run in runs]
    return Versus(
        a=str(a),
        b=str(b),
        settings=(*_differences(*stated), *_differences(*columns)),
        provenance=_differences(*made),
        changes=changes,
        only_a=tuple(place for place in first if place not in second),
        only_b=tuple(place for place in second if place not in first),
        warnings=(*_suites_apart(stated), *(warning for run in runs for warning in run.warnings)),
    )


def versus_markdown(found: Versus) -> str:
    """The comparison as Markdown; every name in it is escaped."""
    text = [f"# {plain(found.b)} against {plain(found.a)}", ""]
    text += [f"- {plain(warning)}" for warning in found.warnings]
    for title, differences in (("Settings that differ", found.settings), ("Where they were made", found.provenance)):
        rows = [[item.name, _shown(item.a), _shown(item.b)] for item in differences]
        text += [f"## {title}", "", *(lines(("setting", "A", "B"), rows, 3) if rows else ["None."]), ""]
    rows = [
        [
            str(item.comparison.setting) + (f" [{item.scope}]" if item.scope else ""),
            figure(item.comparison.difference),
            p_value(item.comparison.by_group.wilcoxon_holm),
            f"{item.comparison.wins} / {item.comparison.ties} / {item.comparison.losses}",
            f"{item.n_identical} of {item.comparison.difference.n_prompts}",
            str(item.comparison.n_one_sided),
            f"{fmt.seconds(item.total_a_s)} to {fmt.seconds(item.total_b_s)}",
            item.comparison.verdict,
        ]
        for item in found.changes
    ]
    header = ("setting", "B minus A", "Wilcoxon", "win / tie / loss", "identical", "in one run only", "time", "B is")
    text += ["## What changed", "", *(lines(header, rows) if rows else ["No setting is in both runs."]), ""]
    text += [plain(FAMILY_CAPTION), ""] if rows else []
    for name, only in (("A", found.only_a), ("B", found.only_b)):
        text += [f"- only in {name}: {plain(key)}" + (f" [{plain(scope)}]" if scope else "") for scope, key in only]
    return "\n".join(text).rstrip() + "\n"


def _members(*runs: Sequence[Row]) -> list[Members]:
    """The rows of each run by scope and setting, named alike in all runs."""
    several = {column for rows in runs for column in varying_columns(rows)}
    tagged = [{**row, _RUN: place} for place, rows in enumerate(runs) for row in rows]
    found: list[Members] = [{} for _ in runs]
    for scope, own in split_scopes(tagged, [column for column in SCOPE_COLUMNS if column in several]).items():
        parts = [[row for row in own if row[_RUN] == place] for place in range(len(runs))]
        settled = [column for column in _SETTLED if all(len(_values(part, column)) <= 1 for part in parts)]
        for members, part in zip(found, parts, strict=True):
            members |= {(scope, key): rows for key, rows in by_setting(settle(part, settled)).items()}
    return found


def _suites_apart(stated: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """That two runs are of different suites, which nothing below says in one place."""
    a, b = (str(settings.get("suite.name", "")) for settings in stated)
    if a != b:
        yield (
            f"the runs are of different suites, {a or 'unnamed'} and {b or 'unnamed'}: settings of the same name are "
            "compared on the prompts that both have; read first what else differs"
        )


def _identical(one: Sequence[Row], other: Sequence[Row]) -> int:
    first, second = per_prompt(one), per_prompt(other)
    return sum(first[prompt] == second[prompt] for prompt in first.keys() & second.keys())


def _total(rows: Sequence[Row]) -> float | None:
    found = spread(list(per_prompt(rows, total_seconds).values()))
    return None if found is None else found.median


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _BORING:
                yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, value


def _values(rows: Sequence[Row], column: str) -> list[str]:
    return sorted({str(row[column]) for row in rows if row.get(column) not in (None, "")})


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    names = dict.fromkeys([*a, *b])
    return tuple(Difference(name, a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name))


def _shown(value: Any) -> str:
    """A setting as a suite file would have it, not as Python would."""
    if value is None:
        return fmt.MISSING
    if isinstance(value, Mapping):
        return "; ".join(f"{key} = {_shown(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


__all__ = ["Change", "Difference", "Versus", "compare_runs", "versus_markdown"]
