"""Words and looks that several figures share."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

from ttft_bench.report import format as fmt
from ttft_bench.report.charts.model import Axis, Entry, Limits, Look
from ttft_bench.report.figures import INK
from ttft_bench.report.groups import Estimate, Group
from ttft_bench.report.metrics import COST
from ttft_bench.report.paired.outcomes import Interval
from ttft_bench.report.stats import Key
from ttft_bench.report.view import View
from ttft_bench.text import printable


def setting_name(key: Key, budget: bool = True) -> str:
    """``sift, r = 2, N = 50``, harmless to show, and whole: cut names of settings that differ would be the same."""
    if key.is_untouched:
        return key.name
    parts = [printable(key.strategy), printable(key.reuse_words), f"N = {key.budget}" if budget else ""]
    return ", ".join(filter(None, parts))


def look_of(view: View, key: Key, **changes: float) -> Look:
    """The strategy's colour and dash, the reuse setting's marker; controls in ink."""
    colour, dash = view.looks[key.strategy]
    opacity, width, size = (changes.get(name, usual) for name, usual in (("opacity", 1.0), ("width", 1.6), ("size", 6)))
    return Look(colour, dash, view.marks[key.reuse], opacity, width, size)


def strategy_entries(view: View, keys: Iterable[Key]) -> tuple[Entry, ...]:
    """A legend of strategies, in alphabetical order."""
    names = sorted({key.strategy for key in keys})
    return tuple(Entry(entry_name(name), Look(*view.looks[name], marker="", width=2.5)) for name in names)


def entry_name(name: str) -> str:
    """A strategy or a use of picks in a legend, harmless and whole: by this name a mark finds its entry."""
    return printable(name)


def reuse_entries(view: View, keys: Iterable[Key]) -> tuple[Entry, ...]:
    """What the markers mean; nothing if there is only one."""
    names = {key.reuse: key.name if key.is_untouched else printable(key.reuse_words) or "no reuse" for key in keys}
    if len(names) < 2:
        return ()
    said = sorted(names.items())
    return tuple(Entry(word, Look(INK, "", view.marks[name]), "marker") for name, word in said)


def wrapped(name: str, newline: str, width: int) -> str:
    """A name in lines of at most ``width`` characters, so that it leaves room for the axes."""
    together = name.replace(" = ", "\u00a0=\u00a0")
    return newline.join(textwrap.wrap(together, width, break_on_hyphens=False)) or name


def limits(found: Estimate | Interval | None) -> Limits:
    """The bounds of an interval."""
    return (None, None) if found is None else (found.low, found.high)


def told(found: Estimate | Interval, decimals: int = 2) -> str:
    """``87.54 (76.07 to 97.27)``, or the figure alone."""
    value = found.mean if isinstance(found, Estimate) else found.value
    if value is None:
        return fmt.MISSING
    if found.low is None or found.high is None:
        return f"{value:.{decimals}f} (no interval)"
    return fmt.with_bounds(value, found.low, found.high, decimals)


def group_hover(group: Group) -> tuple[str, ...]:
    """All there is to say about a setting."""
    found = [setting_name(group.key)]
    if group.bpb is not None:
        found.append(f"BPB% {told(group.bpb)}, {fmt.plural(group.bpb.n, 'prompt')}")
    total = group.times.get(COST.key)
    if total is not None:
        found.append(f"{fmt.seconds(total.median)} ({fmt.seconds(total.q25)} to {fmt.seconds(total.q75)}) per prompt")
    if group.n_distinct is not None:
        found.append(f"{group.n_distinct:.1f} distinct items of {group.key.budget}")
    if group.gap_max is not None:
        found.append(f"largest gap {fmt.gap(group.gap_max)}")
    return tuple(found)


def budget_axis(budgets: Iterable[int]) -> Axis:
    """An axis of budgets, logarithmic where they span a decade, with a tick at those that have room."""
    found = sorted(set(budgets))
    is_log = len(found) > 1 and found[0] > 0 and found[-1] >= 10 * found[0]
    return Axis("budget N, picks", "log" if is_log else "linear", ticks=_spaced(found, is_log))


def log_seconds(title: str, places: Iterable[float]) -> Axis:
    """A logarithmic axis of seconds with ticks at 1, 2 and 5 of each decade, or fewer where decades are many."""
    found = [place for place in places if place > 0]
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    steps = (1, 2, 5) if max(found) <= 200 * min(found) else (1,)
    ticks = tuple(step * 10.0**decade for decade in range(low - 1, high + 1) for step in steps)
    return Axis(title, "log", seconds=True, ticks=ticks)


def _spaced(budgets: Sequence[int], is_log: bool) -> tuple[float, ...]:
    """At most eight of the budgets, so that their labels do not touch."""
    place = [math.log(budget) if is_log else float(budget) for budget in budgets]
    if len(place) < 2:
        return tuple(map(float, budgets))
    room = (place[-1] - place[0]) / 8
    kept: list[float] = []
    last = math.inf
    for budget, where in sorted(zip(budgets, place, strict=True), reverse=True):
        if last - where >= room:
            kept.append(float(budget))
            last = where
    return tuple(reversed(kept))


__all__ = [
    "budget_axis",
    "entry_name",
    "group_hover",
    "limits",
    "log_seconds",
    "look_of",
    "reuse_entries",
    "setting_name",
    "strategy_entries",
    "told",
    "wrapped",
]
