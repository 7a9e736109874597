"""Falsifiers against the rows of a run: what each came to, and on what evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ttft_bench.report.format import seconds, with_bounds
from ttft_bench.report.paired.at_time import TimeTable, bpb_at_times, line_label
from ttft_bench.report.paired.outcomes import CONFIDENCE, Interval
from ttft_bench.report.paired.prompts import by_setting, pair
from ttft_bench.report.paired.resample import mean_interval
from ttft_bench.report.paired.split import SCOPE_COLUMNS, split_scopes, split_shuffled, timed_alike
from ttft_bench.report.questions.falsifiers import Falsifier
from ttft_bench.report.stats import Key, Row, number, settle, usual

Ruling = Literal["falsified", "stands", "not decided"]
Members = Mapping[Key, Sequence[Row]]

#: Columns that may differ as well where a claim is looked at elsewhere: they come with the model or the machine.
_FREE = ("start_token", "device", "backend", "lanes")


@dataclass(frozen=True)
class Evidence:
    """One comparison of a falsifier: the advantage of the subject, and what it says."""

    what: str
    advantage: Interval
    ruling: Ruling
    why: str


@dataclass(frozen=True)
class Finding:
    """What a falsifier came to."""

    falsifier: Falsifier
    ruling: Ruling
    why: str
    evidence: tuple[Evidence, ...]


def evaluate(
    falsifiers: Sequence[Falsifier], rows: Sequence[Row], columns: Sequence[str] = SCOPE_COLUMNS
) -> tuple[Finding, ...]:
    """Evaluate every falsifier.

    The first scope (one model, embedder, device and so on) is the one with most rows; only finetuned rows count, with
    the most frequent learning rate and trainable set. Rows that decide nothing make "not decided", with the reason.
    """
    true, _ = split_shuffled(rows)
    scopes = split_scopes([row for row in true if str(row.get("arm") or "finetune") == "finetune"], columns)
    first = next(iter(scopes), "")
    return tuple(_evaluate(item, scopes, first) for item in falsifiers)


def rule(interval: Interval, margin: float) -> tuple[Ruling, str]:
    """The verdict of one interval of the advantage; see :data:`ttft_bench.report.questions.falsifiers.RULE`."""
    shortage = interval.shortage()
    if shortage:
        return "not decided", shortage
    assert interval.value is not None and interval.low is not None and interval.high is not None
    shown = f"advantage {with_bounds(interval.value, interval.low, interval.high)}"
    if interval.high < margin:
        return "falsified", f"{shown}: below {margin:g}"
    if interval.low > 0:
        return "stands", f"{shown}: above 0"
    return "not decided", f"{shown}: neither above 0 nor below {margin:g}"


def _evaluate(item: Falsifier, scopes: Mapping[str, Sequence[Row]], first: str) -> Finding:
    rows = _usual(scopes.get(first, ()))
    if item.kind == "persists":
        return _conclude(item, _persists(item, scopes, first, rows))
    found = {
        "equal-time": _equal_time,
        "equal-budget": _equal_budget,
        "lower-residual": _lower_residual,
        "reuse-mode": _reuse_mode,
    }[item.kind](item, rows)
    return _conclude(item, found)


def _conclude(item: Falsifier, evidence: Sequence[Evidence] | str) -> Finding:
    if isinstance(evidence, str):
        return Finding(item, "not decided", evidence, ())
    against = [part for part in evidence if part.ruling == "falsified"]
    if against:
        return Finding(item, "falsified", f"{against[0].what}: {against[0].why}", tuple(evidence))
    open_ = [part for part in evidence if part.ruling == "not decided"]
    if open_:
        return Finding(item, "not decided", f"{open_[0].what}: {open_[0].why}", tuple(evidence))
    weakest = min(evidence, key=lambda part: part.advantage.low or 0.0)
    return Finding(item, "stands", f"weakest: {weakest.what}: {weakest.why}", tuple(evidence))


def matches(strategy: str, pattern: str) -> bool:
    """Whether a spec is meant: ``sift[...]`` stands for every variant of ``sift``, anything else for itself."""
    if pattern.endswith("[...]"):
        return strategy.partition("[")[0] == pattern.removesuffix("[...]")
    return strategy == pattern


def _usual(rows: Sequence[Row]) -> list[Row]:
    """Rows of the most frequent learning rate and trainable set: comparisons hold them fixed."""
    return settle(usual(rows))


def _rivals(item: Falsifier, rows: Sequence[Row]) -> tuple[list[str], str]:
    """Strategies of the rows that the falsifier names, and what is missing."""
    present = {str(row.get("strategy")) for row in rows}
    missing = [pattern for pattern in item.rivals if not any(matches(name, pattern) for name in present)]
    if item.subject not in present:
        return [], f"{item.subject} was not run"
    if missing:
        return [], f"{', '.join(missing)} was not run"
    others = sorted(present - {item.subject})
    # The subject is no rival of its own: ``hullft[...]`` asks for a variant besides it.
    alone = [pattern for pattern in item.rivals if not any(matches(name, pattern) for name in others)]
    if [pattern for pattern in alone if pattern != item.subject] or len(alone) == len(item.rivals):
        return [], f"no rival among {', '.join(alone)} besides {item.subject} was run"
    return [name for name in others if any(matches(name, pattern) for pattern in item.rivals)], ""


def _equal_time(item: Falsifier, rows: Sequence[Row]) -> list[Evidence] | str:
    rivals, missing = _rivals(item, rows)
    if missing:
        return missing
    cached = [row for row in timed_alike(rows) if row.get("reuse_mode") in ("", None, "cached")]
    if not all(any(row.get("strategy") == name for row in cached) for name in (item.subject, *rivals)):
        return "subject and rivals were not timed on one device"
    tables: list[tuple[str, TimeTable]] = []
    for rival in rivals:
        pair_rows = [row for row in cached if row.get("strategy") in (item.subject, rival)]
        # Five times a rival, all to hold together.
        confidence = 1 - (1 - CONFIDENCE) / (5 * len(rivals))
        label = line_label(Key.of(next(row for row in pair_rows if row.get("strategy") == item.subject)))
        tables.append((rival, bpb_at_times(pair_rows, reference=label, confidence=confidence)))
    found = []
    for rival, table in tables:
        for cell in table.cells:
            if cell.difference is not None:
                # The reference is the subject: the difference is rival minus subject.
                ruling, why = rule(cell.difference, item.margin)
                found.append(Evidence(f"{rival} at {seconds(cell.time_s)}", cell.difference, ruling, why))
    return found or "subject and rivals have no time in common"


def _equal_budget(item: Falsifier, rows: Sequence[Row]) -> list[Evidence] | str:
    return _at_budget(item, rows, item.reuse)


def _lower_residual(item: Falsifier, rows: Sequence[Row]) -> list[Evidence] | str:
    rivals, missing = _rivals(item, rows)
    if missing:
        return missing
    members = by_setting(rows, {item.subject, *rivals})
    informative, skipped = [], []
    for rival in rivals:
        keys = _shared(members, item.subject, rival, "off")
        if keys is None:
            skipped.append(f"{rival} shares no budget with {item.subject}")
            continue
        ours, theirs = members[keys[0]], members[keys[1]]
        change = pair(ours, theirs, lambda row: number(row, "residual"))
        level = [value for row in theirs if (value := number(row, "residual")) is not None]
        lower = mean_interval(change.differences, change.groups)
        reduction = -(lower.value or 0.0) / (sum(level) / len(level)) if level and sum(level) > 0 else 0.0
        if lower.below(0) and reduction >= item.min_reduction:
            informative.append(rival)
        else:
            skipped.append(f"the residual is {100 * reduction:.1f} % lower than that of {rival}")
    if not informative:
        needed = f"{100 * item.min_reduction:g} % are needed"
        return f"no comparison is informative ({needed}): {'; '.join(skipped)}"
    return _at_budget(item, rows, "off", informative)


def _reuse_mode(item: Falsifier, rows: Sequence[Row]) -> list[Evidence] | str:
    members = by_setting(rows, {item.subject})
    pairs = []
    for interval in sorted({key.reuse_interval for key in members} - {1}):
        cached = {
            (key.budget, key.reuse_grouping): key
            for key in members
            if (key.reuse_interval, key.reuse_mode) == (interval, "cached")
        }
        other = {
            (key.budget, key.reuse_grouping): key
            for key in members
            if (key.reuse_interval, key.reuse_mode) == (interval, item.mode)
        }
        shared = cached.keys() & other.keys()
        if shared:
            best = max(shared)
            pairs.append((f"r = {interval}, N = {best[0]}", cached[best], other[best]))
    if not pairs:
        return f"{item.subject} was not run with both modes, cached and {item.mode}"
    return [_weigh(what, item, members[ours], members[theirs], len(pairs)) for what, ours, theirs in pairs]


def _persists(
    item: Falsifier, scopes: Mapping[str, Sequence[Row]], first: str, rows: Sequence[Row]
) -> list[Evidence] | str:
    base = _at_budget(item, rows, "off")
    if isinstance(base, str):
        return base
    lost = next((part for part in base if part.ruling != "stands"), None)
    if lost is not None:
        return f"there is no advantage on all prompts to lose ({lost.what}: {lost.why})"
    if item.vary == "stratum":
        if not any(row.get("stratum") for row in rows):
            return "strata were not computed"
        clean = [row for row in rows if row.get("stratum") == "clean"]
        return _at_budget(item, clean, "off", note="clean prompts") if clean else "no prompt is clean"
    others = _others(scopes, first, item.vary)
    if not others:
        return f"only one {item.vary} was run"
    found: list[Evidence] = []
    for value, part in others.items():
        here = _at_budget(item, _usual(part), "off", note=value, comparisons=len(others) * len(base))
        if isinstance(here, str):
            return f"with {item.vary} {value}, {here}"
        found += here
    return found


def _others(scopes: Mapping[str, Sequence[Row]], first: str, column: str) -> dict[str, Sequence[Row]]:
    """Scopes that differ from the first one in ``column``, and in nothing else that matters, by their value of it."""

    def values(rows: Sequence[Row]) -> dict[str, str]:
        # The most frequent one: a control on random pools stands in every scope.
        found = {
            name: Counter(str(row[name]) for row in rows if row.get(name) not in (None, "")) for name in SCOPE_COLUMNS
        }
        return {name: count.most_common(1)[0][0] if count else "" for name, count in found.items()}

    mine = values(scopes[first]) if first in scopes else {}
    found: dict[str, Sequence[Row]] = {}
    for name, rows in scopes.items():
        theirs = values(rows)
        different = {key for key in theirs if theirs[key] != mine.get(key)}
        if name != first and column in different and different <= {column, *_FREE}:
            found.setdefault(theirs[column], rows)  # the largest scope of each value comes first
    return found


def _at_budget(
    item: Falsifier,
    rows: Sequence[Row],
    reuse: str,
    rivals: Sequence[str] = (),
    *,
    note: str = "",
    comparisons: int = 0,
) -> list[Evidence] | str:
    """Every rival at the largest budget it shares with the subject."""
    if not rivals:
        rivals, missing = _rivals(item, rows)
        if missing:
            return missing
    members = by_setting(rows, {item.subject, *rivals})
    found = []
    for rival in rivals:
        keys = _shared(members, item.subject, rival, reuse)
        if keys is None:
            return f"{rival} shares no budget {'with reuse ' if reuse == 'on' else ''}with {item.subject}"
        what = f"{rival} at N = {keys[0].budget}" + (f", {note}" if note else "")
        found.append(_weigh(what, item, members[keys[0]], members[keys[1]], comparisons or len(rivals)))
    return found


def _shared(members: Members, subject: str, rival: str, reuse: str) -> tuple[Key, Key] | None:
    """Settings of subject and rival at the largest shared budget; with reuse, at the smallest shared interval."""
    wanted: Callable[[Key], bool] = (
        (lambda key: key.reuse_interval == 1)
        if reuse == "off"
        else (lambda key: key.reuse_interval > 1 and key.reuse_mode in ("", "cached"))
    )

    def settings(name: str) -> dict[tuple[int, int, str], Key]:
        grouping = "" if reuse == "off" else None
        return {
            (key.budget, -key.reuse_interval, key.reuse_grouping if grouping is None else grouping): key
            for key in members
            if key.strategy == name and wanted(key)
        }

    ours, theirs = settings(subject), settings(rival)
    shared = ours.keys() & theirs.keys()
    return (ours[max(shared)], theirs[max(shared)]) if shared else None


def _weigh(what: str, item: Falsifier, ours: Sequence[Row], theirs: Sequence[Row], comparisons: int) -> Evidence:
    paired = pair(theirs, ours)
    advantage = mean_interval(paired.differences, paired.groups, 1 - (1 - CONFIDENCE) / comparisons)
    ruling, why = rule(advantage, item.margin)
    return Evidence(what, advantage, ruling, why)


__all__ = ["Evidence", "Finding", "Ruling", "evaluate", "matches", "rule"]
