"""BPB% at time T: what each line of settings reaches within T seconds per prompt.

A line is a strategy with all its budgets and reuse settings. Each setting is a point (mean of total time, BPB%) over
the same prompts. The line's frontier is the lower envelope of its points: those that no other point of the line beats
in both. At T the line has ::

    B(T) = B_i + (T - t_i) / (t_j - t_i) * (B_j - B_i)      t_i <= T < t_j, neighbours on the frontier

the last point's BPB% beyond it (one need not spend what is left), and nothing before the first ("not reached"): linear
in time between the settings that were run. Intervals: prompts are drawn again, by group, and means, envelope and
interpolation are done anew for every draw. Differences between two lines use the same draws of prompts on both sides.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ttft_bench.report.paired.aggregates import bits_after, bits_before
from ttft_bench.report.paired.outcomes import CONFIDENCE, Interval, Outcome
from ttft_bench.report.paired.prompts import by_setting, groups_of, per_prompt, quality
from ttft_bench.report.paired.resample import Combine, Floats, interval
from ttft_bench.report.stats import Key, Row, total_seconds

#: A setting that measured a smaller part of the prompts is left out, so that it does not cost the others their prompts.
MIN_COVERAGE = 0.8
#: A setting is within a time that it exceeds by no more than this part of it. Seconds are added prompt by prompt, by
#: group or by draw, which round apart in the last bits, and a line of one setting is looked at just where it ends.
ROUNDING = 1e-9

Aggregate = Literal["mean", "corpus"]


@dataclass(frozen=True)
class Point:
    """One setting: mean total seconds and BPB% over the prompts of the table."""

    key: Key
    mean_s: float
    bpb_pct: float
    on_frontier: bool


@dataclass(frozen=True)
class Line:
    """A line's points, fastest first."""

    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class AtTime:
    """One cell of the table; ``difference`` is to the reference line, below 0 where this line is better."""

    label: str
    time_s: float
    bpb_pct: Interval
    difference: Interval | None


@dataclass(frozen=True)
class TimeTable:
    """BPB% of every line at every time.

    Attributes:
        times_s: the times, seconds per prompt, ascending.
        reference: label of the line that differences are to; empty for none.
        aggregate: ``mean`` of per-prompt ratios, or the ``corpus`` ratio.
        lines: every line with its frontier.
        cells: every line at every time.
        n_prompts: prompts that all settings of the table measured.
        left_out: settings that are not in it, with the reason.
    """

    times_s: tuple[float, ...]
    reference: str
    aggregate: Aggregate
    lines: tuple[Line, ...]
    cells: tuple[AtTime, ...]
    n_prompts: int
    left_out: tuple[tuple[Key, str], ...]

    def at(self, label: str, time_s: float) -> AtTime:
        """The cell of a line at one of the times.

        Raises:
            KeyError: there is none.
        """
        for cell in self.cells:
            if (cell.label, cell.time_s) == (label, time_s):
                return cell
        raise KeyError(f"no line {label!r} at {time_s} s in this table")


def line_label(key: Key) -> str:
    """A setting without budget and gradient reuse: a strategy on its own frontier."""
    extras = dataclasses.replace(key, reuse_interval=1, reuse_grouping="", reuse_mode="").reuse_words
    return f"{key.name} ({extras})" if extras else key.name


@dataclass(frozen=True)
class _Data:
    """Summands per prompt: for setting k, columns 3k.. are seconds, numerator and denominator of its BPB%."""

    keys: tuple[Key, ...]
    values: Floats
    groups: tuple[str, ...]
    left_out: tuple[tuple[Key, str], ...]


def bpb_at_times(
    rows: Sequence[Row],
    times_s: Sequence[float] | None = None,
    *,
    reference: str = "",
    label_of: Callable[[Key], str | None] = line_label,
    aggregate: Aggregate = "mean",
    confidence: float = CONFIDENCE,
) -> TimeTable:
    """Make the table.

    Args:
        rows: rows of one scope, learning rates settled.
        times_s: seconds per prompt; None for five that depend on times alone, see :func:`usual_times`.
        reference: label of the line that the others are compared with.
        label_of: the line of a setting; None leaves it out.
        aggregate: of BPB% over prompts.
        confidence: of the intervals.
    """
    data = _collect({key: part for key, part in by_setting(rows).items() if label_of(key) is not None}, aggregate)
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(data.keys):
        places[str(label_of(key))].append(place)
    lines = tuple(_line(label, data, places[label]) for label in sorted(places))
    times = usual_times(lines) if times_s is None else tuple(sorted(float(time) for time in times_s))
    cells = []
    for line in lines:
        for time in times:
            own = _reach(places[line.label], time)
            found = _interval(data, own, confidence)
            difference = None
            if reference in places and reference != line.label:
                difference = _interval(data, _minus(own, _reach(places[reference], time)), confidence)
            cells.append(AtTime(line.label, time, found, difference))
    return TimeTable(times, reference, aggregate, lines, tuple(cells), len(data.groups), data.left_out)


def usual_times(lines: Sequence[Line], count: int = 5) -> tuple[float, ...]:
    """Times, evenly spaced in their logarithm, between where every line has begun and where the first one ends.

    They follow from times alone, so nobody's quality can have chosen them. Lines of a single setting have no say where
    others have several. If one line ends before another begins, times end with the last line instead. The beginning
    itself is none of them: half of the resamples of the line that begins there would not have reached it.
    """
    several = [line for line in lines if len(line.points) > 1] or lines
    spans = [(line.points[0].mean_s, line.points[-1].mean_s) for line in several if line.points]
    if not spans:
        return ()
    low = max(first for first, _ in spans)
    high = min(last for _, last in spans)
    return between(low, high if high > low else max(last for _, last in spans), count)


def between(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Times above ``low`` and up to ``high``, evenly spaced in their logarithm; just ``high`` without room."""
    if low <= 0 or high <= low:
        return (max(low, high),)
    return tuple(float(time) for time in np.geomspace(low, high, count + 1)[1:])


def _collect(members: Mapping[Key, Sequence[Row]], aggregate: Aggregate) -> _Data:
    top, bottom = (bits_after, bits_before) if aggregate == "corpus" else (quality, _one)
    columns = {key: [per_prompt(rows, of) for of in (_seconds, top, bottom)] for key, rows in members.items()}
    measured = {key: set(parts[0]) & set(parts[1]) & set(parts[2]) for key, parts in columns.items()}
    everyone = set().union(*measured.values()) if measured else set()
    kept, left_out = [], []
    for key, prompts in measured.items():
        if everyone and len(prompts) >= MIN_COVERAGE * len(everyone):
            kept.append(key)
        else:
            left_out.append((key, f"measured {len(prompts)} of {len(everyone)} prompts with time and quality"))
    common = sorted(set(everyone).intersection(*(measured[key] for key in kept))) if kept else []
    if kept and not common:
        left_out += [(key, "no prompt was measured by all settings") for key in kept]
        kept = []
    values = [[part[prompt] for key in kept for part in columns[key]] for prompt in common] if kept else []
    groups = groups_of(row for rows in members.values() for row in rows)
    names = tuple(groups[prompt] for prompt in common) if kept else ()
    shaped = np.array(values, dtype=np.float64).reshape(len(names), 3 * len(kept))
    return _Data(tuple(kept), shaped, names, tuple(left_out))


def _seconds(row: Row) -> float | None:
    return None if quality(row) is None else total_seconds(row)


def _one(row: Row) -> float | None:
    # 100 * a / b is in the numerator already.
    return None if quality(row) is None else 100.0


def _points(sums: Floats, places: Sequence[int]) -> tuple[Floats, Floats]:
    """Mean seconds and BPB% of some settings, each of shape (..., points)."""
    index = np.asarray(places)
    # The last column counts prompts.
    return sums[..., 3 * index] / sums[..., -1:], 100 * sums[..., 3 * index + 1] / sums[..., 3 * index + 2]


def _reach(places: Sequence[int], time_s: float) -> Combine:
    return lambda sums: _at(*_points(sums, places), time_s)


def _minus(one: Combine, other: Combine) -> Combine:
    return lambda sums: one(sums) - other(sums)


def _at(times: Floats, bpb_pct: Floats, time_s: float) -> Floats:
    """Interpolate on the lower envelope; points along the last axis."""
    in_time = times <= time_s * (1 + ROUNDING)
    best = np.where(in_time, bpb_pct, np.inf).min(axis=-1)
    # The frontier's left neighbour: the fastest of the best in time.
    start = np.where(in_time & (bpb_pct == best[..., None]), times, np.inf).min(axis=-1)
    # Its right neighbour: the first later point that is better, and of equally late ones the best.
    better = ~in_time & (bpb_pct < best[..., None])
    end = np.where(better, times, np.inf).min(axis=-1)
    goal = np.where(better & (times == end[..., None]), bpb_pct, np.inf).min(axis=-1)
    ends = np.isfinite(end)
    with np.errstate(invalid="ignore"):
        share = np.where(ends, (time_s - start) / np.where(ends, end - start, 1.0), 0.0).clip(0.0, 1.0)
        found = best + share * (np.where(ends, goal, best) - best)
    result: Floats = np.where(np.isfinite(best), found, np.nan)
    return result


def _interval(data: _Data, combine: Combine, confidence: float) -> Interval:
    counted = np.concatenate([data.values, np.ones((len(data.groups), 1))], axis=1)
    found = interval(counted, data.groups, combine, confidence)
    if found.outcome is Outcome.NO_DATA and data.groups:
        return dataclasses.replace(found, outcome=Outcome.NOT_REACHED)
    return found


def _line(label: str, data: _Data, places: Sequence[int]) -> Line:
    sums = np.concatenate([data.values.sum(axis=0), [float(len(data.groups))]])
    times, bpb_pct = _points(sums, places)
    order = sorted(range(len(places)), key=lambda item: (times[item], bpb_pct[item]))
    points, best = [], np.inf
    for item in order:
        points.append(
            Point(data.keys[places[item]], float(times[item]), float(bpb_pct[item]), bool(bpb_pct[item] < best))
        )
        best = min(best, bpb_pct[item])
    return Line(label, tuple(points))


__all__ = ["AtTime", "Line", "Point", "TimeTable", "bpb_at_times", "line_label", "usual_times"]
