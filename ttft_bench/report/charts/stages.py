"""Where the time goes: the stages of one prompt, stacked, at each strategy's largest budget."""

from __future__ import annotations

from ttft_bench.report import format as fmt
from ttft_bench.report.charts.model import Axis, Bars, Chart, Entry, Look, Panel
from ttft_bench.report.charts.words import setting_name
from ttft_bench.report.figures import INK
from ttft_bench.report.metrics import STAGES
from ttft_bench.report.palette import COLOURS
from ttft_bench.report.view import View

KEY = "time_per_stage"

#: Colour and opacity per stage; scoring is the benchmark's own time, so it is grey.
_LOOK: dict[str, tuple[str, float]] = {
    "embed_s": (COLOURS[5], 0.9),
    "retrieve_s": (COLOURS[7], 0.9),
    "select_s": (COLOURS[1], 0.9),
    "finetune_s": (COLOURS[0], 0.9),
    "context_s": (COLOURS[2], 0.9),
    "restore_s": (COLOURS[6], 0.9),
    "score_s": (INK, 0.25),
}


def time_per_stage(view: View) -> Chart:
    """One bar per strategy and reuse setting."""
    title = "Where the time goes: medians at the largest budget, shorter is better"
    bars = [series.largest for series in view.timed.series if series.largest.times]
    if not bars:
        return Chart(KEY, title, "", missing="No setting was timed.")
    names = tuple(setting_name(group.key) + ("*" if group.control else "") for group in bars)
    marks, legend = [], []
    for stage in STAGES:
        colour, opacity = _LOOK[stage.key]
        look = Look(colour, opacity=opacity)
        found = [group.times.get(stage.key) for group in bars]
        if not any(found):
            continue
        widths = tuple(0.0 if spread is None else spread.median for spread in found)
        hover = tuple(
            (name, f"{stage.label}: " + (fmt.MISSING if spread is None else fmt.spread(spread)))
            for name, spread in zip(names, found, strict=True)
        )
        marks.append(Bars(stage.label, tuple(map(float, range(len(bars)))), widths, look, hover))
        legend.append(Entry(stage.label, look, "area"))
    caption = (
        "A user waits for select and finetune, and for reading a context where there is one; that is the time in the "
        "first picture. Embedding the prompt and retrieving its candidates come before it and are the same for every "
        "strategy. Restoring the weights and scoring are the benchmark's own."
        + (" * control." if any(group.control for group in bars) else "")
    )
    panel = Panel("", Axis("time per prompt", seconds=True), Axis("", "category", categories=names), tuple(marks))
    return Chart(KEY, title, caption, (panel,), tuple(legend))


__all__ = ["time_per_stage"]
