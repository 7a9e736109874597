"""What a run says, in plain words, and what it cannot say."""

from __future__ import annotations

from collections import Counter

from ttft_bench.report.analysis import Analysis
from ttft_bench.report.format import NO_SPREAD, bounds, enough_decimals, plural, seconds
from ttft_bench.report.groups import MIN_PROMPTS_TO_RANK, Estimate, Group
from ttft_bench.report.metrics import COST
from ttft_bench.report.paired.compare import NOT_DECIDED, Family
from ttft_bench.report.paired.significance import EQUIVALENCE_MARGIN
from ttft_bench.text import printable


def name(group: Group) -> str:
    """A setting in words, harmless to show; whole, as cut ones could be any of several."""
    return printable(str(group.key))


def summarise(analysis: Analysis) -> str:
    """One sentence: the best setting beside the control. Below 30 prompts it claims no ranking."""
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
    return f"{opening}; {_beside_control(analysis, best.bpb)}."


def beside_reference(analysis: Analysis, family: Family) -> str:
    """One more sentence: the best setting against the reference, prompt by prompt; empty where it is not compared."""
    best = analysis.best
    found = next((item for item in family.comparisons if best is not None and item.setting == best.key), None)
    if found is None or not analysis.can_rank or found.difference.value is None:
        return ""
    said = {
        "better": "it is better",
        "worse": "it is worse",
        "equivalent": f"the two are equivalent (within ±{EQUIVALENCE_MARGIN} points)",
        NOT_DECIDED: "which of the two is better is not decided",
    }.get(found.verdict, found.verdict)
    ours, theirs = printable(str(found.setting)), printable(str(found.reference))
    value, low, high = found.difference.value, found.difference.low, found.difference.high
    digits, interval = 2, ""
    if low is not None and high is not None:
        found_digits = enough_decimals(low, high)
        digits = found_digits or digits
        shown = f"95 % interval {_side(low, digits)} to {_side(high, digits)}"
        interval = f"; {NO_SPREAD if found_digits is None else shown}"
    return f"Prompt by prompt, {ours} is {_side(value, digits)} {theirs} (in points of BPB%{interval}): {said}."


def _side(difference: float, decimals: int) -> str:
    """``0.32 below`` or ``0.33 above``."""
    return f"{abs(difference):.{decimals}f} {'below' if difference < 0 else 'above'}"


def _beside_control(analysis: Analysis, best: Estimate) -> str:
    control = analysis.control
    if control is None or control.bpb is None:
        return "without a control on random documents, how much of that any finetuning would give is unknown"
    shown = f"the control {name(control)} is at {_figure(control.bpb)}"
    overlap = best.overlaps(control.bpb)
    if overlap is None:
        return f"{shown}, and so few prompts admit no interval: this is a sign of life, not a result"
    if overlap:
        return f"{shown}, and the intervals overlap: this run does not show that choosing what to train on helps"
    if best.mean < control.bpb.mean:
        return f"{shown}, and the intervals do not overlap"
    return f"{shown}, below every strategy: here random documents did better than chosen ones"


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


__all__ = ["beside_reference", "name", "no_ranking_reason", "notes", "ranking_lines", "summarise"]
