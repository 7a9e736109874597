"""Quality by stratum: prompts whose text stands in the corpus exactly, nearly, or not at all."""

from __future__ import annotations

from ttft_bench.report.charts.model import Axis, Chart, Look, Mark, Panel, Points, Rule
from ttft_bench.report.charts.words import entry_name, limits, look_of, setting_name, strategy_entries, told
from ttft_bench.report.figures import INK
from ttft_bench.report.findings import Part
from ttft_bench.report.format import plural
from ttft_bench.report.metrics import QUALITY
from ttft_bench.report.paired.aggregates import SettingSummary
from ttft_bench.report.paired.split import NOT_COMPUTED, STRATA
from ttft_bench.report.stats import Key
from ttft_bench.report.view import View

KEY = "strata"

_MEANING = {
    "exact": "the prompt stands in the corpus as it is",
    "near": "a near-duplicate of it does",
    "clean": "neither",
}


def strata(view: View) -> Chart:
    """One panel per stratum; a line per strategy at its largest budget, without gradient reuse."""
    title = "BPB% of prompts with and without copies in the corpus: left is better"
    parts = [part for part in view.found.parts if part.name != "all"]
    shown = {part.name: found for part in parts if (found := _largest(part))}
    if not set(shown) & set(STRATA):
        return Chart(
            KEY,
            title,
            "",
            missing="Strata were not computed for this run: whether prompts stand in the corpus is unknown, "
            "and near-duplicates may account for part of every gain.",
        )
    keys = list(dict.fromkeys(item.key for found in shown.values() for item in found))
    axis = Axis(QUALITY.label, limits=_scale([item for found in shown.values() for item in found]))
    panels = tuple(_panel(view, name, found, keys, axis) for name, found in shown.items())
    meaning = "; ".join(f"{name}: {said}" for name, said in _MEANING.items())
    caption = (
        f"{meaning[:1].upper()}{meaning[1:]}. Means over the prompts of a stratum at each strategy's largest budget, "
        "with 95 % BCa bootstrap intervals over groups. Dotted: the untouched model. Gains that are gone in the clean "
        "stratum come from copies."
    )
    return Chart(KEY, title, caption, panels, strategy_entries(view, keys))


def _largest(part: Part) -> list[SettingSummary]:
    found: dict[object, SettingSummary] = {}
    for item in part.summaries:
        if item.key.reuse_interval == 1 and item.key.arm != "none" and item.bpb_pct_mean.value is not None:
            found[item.key.series] = item  # budgets ascend
    return list(found.values())


def _scale(found: list[SettingSummary]) -> tuple[float, float]:
    """One scale for all strata, with room for the untouched model."""
    bounds = [item.bpb_pct_mean for item in found]
    reach = [100.0, *(value for item in bounds for value in (item.value, item.low, item.high) if value is not None)]
    # Where nothing was learned, all stand at 100.
    room = max(0.04 * (max(reach) - min(reach)), 0.05)
    return min(reach) - room, max(reach) + room


def _panel(view: View, name: str, found: list[SettingSummary], keys: list[Key], axis: Axis) -> Panel:
    marks: list[Mark] = [Rule("x", 100.0, Look(INK, ":", "", 0.8, 1.0))]
    for item in found:
        value = item.bpb_pct_mean
        said = f"BPB% {told(value)}, {plural(value.n_prompts, 'prompt')}"
        marks.append(
            Points(
                entry_name(item.key.strategy),
                (value.value or 0.0,),
                (float(keys.index(item.key)),),
                look_of(view, item.key, size=7),
                x_limits=(limits(value),),
                hover=((setting_name(item.key), said),),
            )
        )
    n = max((item.bpb_pct_mean.n_prompts for item in found), default=0)
    shown = "not computed" if name == NOT_COMPUTED else name
    title = f"{shown}, {plural(n, 'prompt')}"
    return Panel(title, axis, Axis("", "category", categories=tuple(map(setting_name, keys))), tuple(marks))


__all__ = ["strata"]
