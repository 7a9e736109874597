"""What a run says, in plain words, and what it cannot say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ttft_bench.report.analysis import RANDOM_CONTROL, Analysis
from ttft_bench.report.format import NO_SPREAD, bounds, enough_decimals, plural, seconds
from ttft_bench.report.groups import MIN_PROMPTS_TO_RANK, Estimate, Group
from ttft_bench.report.metrics import COST
from ttft_bench.report.paired.compare import NOT_DECIDED, Comparison, Family, compare_best
from ttft_bench.report.paired.outcomes import Interval
from ttft_bench.report.paired.significance import EQUIVALENCE_MARGIN
from ttft_bench.report.stats import Row
from ttft_bench.text import printable

if TYPE_CHECKING:
    from ttft_bench.report.view import View


def name(group: Group) -> str:
    """A setting in words, harmless to show; whole, as cut ones could be any of several."""
    return printable(str(group.key))


def summarise_views(views: Sequence[View]) -> str:
    """The sentence of the largest scope with a figure: best and control are of rows that one table may hold."""
    if not views:
        return "This run has no rows to show."
    view = next((view for view in views if view.analysis.best is not None), views[0])
    said = summarise(view.analysis, view.rows)
    return said if len(views) == 1 else f"With {printable(view.name, limit=160)}: {said[:1].lower()}{said[1:]}"


def summarise(analysis: Analysis, rows: Sequence[Row]) -> str:
    """One sentence: the best setting beside the control, prompt by prompt. Below 30 prompts it claims no ranking.

    Args:
        analysis: of one scope.
        rows: its rows, learning rates settled.
    """
    best = analysis.best
    if best is None or best.bpb is None:
        return _nothing_measured(analysis)
    n = len(best.prompts)
    cost = best.value(COST)
    time = "" if cost is None else f", {seconds(cost)} per prompt"
    lowest = f"{name(best)}: {_figure(best.bpb)} of the untouched model's bits per byte{time}"
    settings = plural(len(analysis.comparable), "setting")
    if not analysis.can_rank and n >= MIN_PROMPTS_TO_RANK:
        opening = (
            f"No strategy measured every prompt, so none is ranked; the lowest mean of {settings} is that of {lowest}"
        )
    elif not analysis.can_rank:
        opening = (
            f"{plural(n, 'prompt')} cannot rank strategies ({MIN_PROMPTS_TO_RANK} are needed): the lowest "
            f"mean of {settings} happened to be that of {lowest}"
        )
    else:
        opening = f"Over {n} prompts the lowest mean of {settings} is that of {lowest}"
    return f"{opening}; {_beside_control(analysis, best, rows)}."


def beside_reference(analysis: Analysis, family: Family) -> str:
    """One more sentence: the best setting against the reference, prompt by prompt; empty where it is not compared."""
    best = analysis.best
    found = next((item for item in family.comparisons if best is not None and item.setting == best.key), None)
    if found is None or not analysis.can_rank or found.difference.value is None:
        return ""
    ours, theirs = printable(str(found.setting)), printable(str(found.reference))
    return f"Prompt by prompt, {ours} is {_apart(found.difference, theirs)}: {_said(found)}."


def _beside_control(analysis: Analysis, best: Group, rows: Sequence[Row]) -> str:
    control = analysis.control
    if control is None or control.bpb is None:
        return "without a control on random documents, how much of that any finetuning would give is unknown"
    shown = f"the control {name(control)} is at {_figure(control.bpb)}"
    found = compare_best(best.key, [group.key for group in analysis.comparable], rows, control.key)
    if found.difference.value is None:
        return f"{shown}, and no prompt was measured with both"
    shown += f"; prompt by prompt, {name(best)} is {_apart(found.difference, 'it')}: {_said(found)}"
    if found.difference.shortage():
        return f"{shown}, and this is a sign of life, not a result"
    if control.key.strategy != RANDOM_CONTROL or found.verdict == "better":
        return shown
    if found.verdict == "worse":
        return f"{shown}, and random documents did better than chosen ones"
    return f"{shown}, so this run does not show that choosing what to train on helps"


def _said(found: Comparison) -> str:
    """The verdict of a comparison as a clause, with what is missing for one."""
    verdict, _, shortage = found.verdict.partition(": ")
    clause = {
        "better": "it is better",
        "worse": "it is worse",
        "equivalent": f"the two are equivalent (within ±{EQUIVALENCE_MARGIN} points)",
        NOT_DECIDED: "which of the two is better is not decided",
    }.get(verdict, verdict)
    return f"{clause} ({shortage})" if shortage else clause


def _apart(difference: Interval, theirs: str) -> str:
    """``0.32 below knn (in points of BPB%; 95 % interval 1.56 below to 0.33 above)``."""
    value, low, high = difference.value, difference.low, difference.high
    assert value is not None
    digits, interval = 2, ""
    if low is not None and high is not None:
        found_digits = enough_decimals(low, high)
        digits = found_digits or digits
        shown = f"95 % interval {_side(low, digits)} to {_side(high, digits)}"
        interval = f"; {NO_SPREAD if found_digits is None else shown}"
    return f"{_side(value, digits)} {theirs} (in points of BPB%{interval})"


def _side(difference: float, decimals: int) -> str:
    """``0.32 below`` or ``0.33 above``."""
    return f"{abs(difference):.{decimals}f} {'below' if difference < 0 else 'above'}"


def _nothing_measured(analysis: Analysis) -> str:
    if not analysis.failures:
        return "This run has no measured cell of any strategy."
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for incident in analysis.failures:
        counts[incident.status] += incident.count
        reasons[incident.reason or "no reason recorded"] += incident.count
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    reason = printable(reasons.most_common(1)[0][0], limit=160)
    return f"No cell of any strategy succeeded ({told}); the most frequent reason: {reason}"


def no_ranking_reason(analysis: Analysis) -> str:
    """Why there is no ranking; empty where there is one."""
    n = len(analysis.prompts)
    if analysis.can_rank or not analysis.comparable:
        return ""
    if n >= MIN_PROMPTS_TO_RANK:
        return "No ranking: no strategy measured every prompt, and means over different prompts do not compare."
    return (
        f"No ranking: {plural(n, 'prompt')}, {MIN_PROMPTS_TO_RANK} are needed. With so few, the order of the "
        "means is mostly a matter of which prompts were drawn; read the intervals."
    )


def ranking_lines(analysis: Analysis) -> list[str]:
    """One line per place, or none where no ranking is due."""
    lines = []
    for ranked in analysis.ranking:
        assert ranked.group.bpb is not None
        tied = " (interval overlaps the first)" if ranked.tied else ""
        lines.append(f"{name(ranked.group)}: {_figure(ranked.group.bpb)}{tied}")
    return lines


def notes(analysis: Analysis) -> list[str]:
    """What a reader must know before comparing two lines of the table."""
    found = []
    for column, values in analysis.mixed.items():
        shown = ", ".join(printable(value, limit=60) for value in values)
        found.append(f"Rows differ in {column} ({shown}): averages below mix them and should not be quoted.")
    if analysis.lanes:
        shown = " or ".join(map(str, analysis.lanes))
        found.append(
            f"Seconds of finetuning and scoring are of {shown} prompts at once on one device (--lanes): each takes "
            "longer than alone, so they are no latencies. Those are measured with one lane."
        )
    found += _coverage_notes(analysis)
    reason = no_ranking_reason(analysis)
    if reason:
        found.append(reason)
    failed = sum(incident.count for incident in analysis.failures)
    if failed:
        found.append(f"{failed} of {plural(analysis.n_rows, 'row')} did not succeed; they are listed, not averaged.")
    found += _reuse_notes(analysis)
    return found


def _coverage_notes(analysis: Analysis) -> list[str]:
    measured = [group for group in analysis.groups if group.bpb is not None]
    partial = [group for group in measured if not analysis.is_complete(group)]
    if not partial:
        return []
    total = len(analysis.prompts)
    if any(analysis.is_complete(group) for group in analysis.comparable):
        return [
            f"{plural(len(partial), 'setting')} did not measure all {total} prompts (column n): their means "
            "stand for other prompts than the rest; they are kept out of the frontier and of comparisons at equal "
            "time. Paired differences are over the prompts that both settings measured."
        ]
    return [
        f"No strategy measured all {total} prompts (column n): settings cover different prompts, so "
        "differences between them may come from the prompts alone."
    ]


def _reuse_notes(analysis: Analysis) -> list[str]:
    settings: dict[str, set[int]] = {}
    for group in analysis.groups:
        if not group.control:
            settings.setdefault(group.key.strategy, set()).add(group.key.reuse_interval)
    union = set().union(*settings.values()) if settings else set()
    once = sorted(printable(strategy) for strategy, found in settings.items() if found == {1} != union)
    if not once:
        return []
    return [
        f"Without gradient reuse only: {', '.join(once)}. Where no item is picked twice in a row, "
        "reuse has nothing to skip and changes nothing."
    ]


def _figure(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{found.mean:.1f} %"
    digits = enough_decimals(found.low, found.high, 1)
    if digits is None:
        return f"{found.mean:.1f} % ({NO_SPREAD})"
    return f"{found.mean:.{digits}f} % (95 % interval {bounds(found.low, found.high, 1)})"


__all__ = ["beside_reference", "name", "no_ranking_reason", "notes", "ranking_lines", "summarise", "summarise_views"]
