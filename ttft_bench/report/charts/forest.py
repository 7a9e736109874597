"""The forest plot: every strategy against the reference, prompt by prompt, in each subset and over all."""

from __future__ import annotations

from ttft_bench.report.charts.model import Axis, Chart, Look, Mark, Panel, Points, Rule
from ttft_bench.report.charts.words import entry_name, limits, look_of, setting_name, strategy_entries, told
from ttft_bench.report.figures import INK
from ttft_bench.report.findings import Forest
from ttft_bench.report.paired.compare import Comparison
from ttft_bench.report.paired.markdown import p_value
from ttft_bench.report.paired.significance import EQUIVALENCE_MARGIN
from ttft_bench.report.view import View
from ttft_bench.text import printable

KEY = "forest"


def forest(view: View) -> Chart:
    """One panel per strategy at its largest budget."""
    reference = entry_name(view.found.reference)
    title = f"Each strategy against {reference}, prompt by prompt: left of 0 is better than {reference}"
    forests = [item for item in view.found.forests if any(line.comparison.difference.n_prompts for line in item.lines)]
    if not forests:
        return Chart(KEY, title, "", missing="No two strategies were finetuned at the same budget on the same prompts.")
    panels = tuple(_panel(view, item) for item in forests)
    caption = (
        f"BPB% of a strategy minus that of {reference} on the same prompt, mean over the prompts of a subset, with its "
        f"95 % BCa bootstrap interval over groups. The last line is that of all prompts. Grey: ±{EQUIVALENCE_MARGIN} "
        "points, within which two settings are equivalent for a user. Each panel has a scale of its own."
    )
    return Chart(KEY, title, caption, panels, strategy_entries(view, [item.setting for item in forests]))


def _scale(item: Forest) -> tuple[float, float]:
    """Room for every mean and interval, for 0 and for the margin."""
    reach = [-1.5 * EQUIVALENCE_MARGIN, 1.5 * EQUIVALENCE_MARGIN]
    for line in item.lines:
        found = line.comparison.difference
        reach += [value for value in (found.value, found.low, found.high) if value is not None]
    room = 0.06 * (max(reach) - min(reach))
    return min(reach) - room, max(reach) + room


def _panel(view: View, item: Forest) -> Panel:
    look = look_of(view, item.setting)
    *subsets, over_all = enumerate(item.lines)
    parts = ((subsets, "o", 1.4, 6.0), ([over_all], "D", 2.6, 9.0))
    marks: list[Mark] = [Rule("x", 0.0, Look(INK, "-", "", 0.6, 1.0), span=(-EQUIVALENCE_MARGIN, EQUIVALENCE_MARGIN))]
    for lines, marker, width, size in parts:
        shown = [(place, line) for place, line in lines if line.comparison.difference.value is not None]
        marks.append(
            Points(
                entry_name(item.setting.strategy),
                tuple(line.comparison.difference.value or 0.0 for _, line in shown),
                tuple(float(place) for place, _ in shown),
                Look(look.colour, look.dash, marker, look.opacity, width, size),
                x_limits=tuple(limits(line.comparison.difference) for _, line in shown),
                hover=tuple(_hover(line.part, line.comparison) for _, line in shown),
            )
        )
    # The last line cannot be taken for a subset that is called "all".
    names = (*(printable(line.part) for _, line in subsets), "all prompts")
    x = Axis("difference, points of BPB%", limits=_scale(item))
    title = f"{setting_name(item.setting)}, against {setting_name(item.reference, budget=False)}"
    return Panel(title, x, Axis("", "category", categories=names), tuple(marks))


def _hover(name: str, found: Comparison) -> tuple[str, ...]:
    return (
        printable(name),
        f"difference {told(found.difference)}",
        f"win / tie / loss {found.wins} / {found.ties} / {found.losses}",
        f"Wilcoxon (Holm) {p_value(found.by_group.wilcoxon_holm)}, TOST {p_value(found.by_group.tost)}",
        f"{found.difference.n_prompts} prompts of {found.difference.n_groups} groups: {found.verdict}",
    )


__all__ = ["forest"]
