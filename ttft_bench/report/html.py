"""The page: one self-contained file that opens without a network and runs no script but its own.

Autoescaping is on. Only three things are marked as safe, none of them from a corpus or a plug-in: our style
sheet, our script (which the content security policy allows by its hash, so an injected one would not run),
and the figures, whose text is drawn as paths.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from ttft_bench.report import format as fmt
from ttft_bench.report.analysis import Analysis, Incident
from ttft_bench.report.figures import INK
from ttft_bench.report.metrics import COST, STAGES
from ttft_bench.report.palette import COLOURS
from ttft_bench.report.stats import Group
from ttft_bench.report.summary import ranking_lines, summarise
from ttft_bench.sweep.schema import SCHEMA_VERSION
from ttft_bench.text import printable

if TYPE_CHECKING:
    from ttft_bench.report.pictures import Pictures

#: Sections of the manifest, in the order in which a reader asks for them.
_SECTIONS = (("Suite", "suite"), ("Plan", "plan"), ("Provenance", "provenance"))


def build_html(analysis: Analysis, manifest: Mapping[str, Any], pictures: Pictures, told: Sequence[str]) -> str:
    """Render the page; ``told`` is what a reader must know before comparing."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    script, style = _asset("sort.js"), _asset("style.css")
    suite, provenance = _section(manifest, "suite"), _section(manifest, "provenance")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    argv = provenance.get("argv")
    summary = summarise(analysis)
    return environment.from_string(_asset("template.html.j2")).render(
        title=_title(manifest, suite),
        summary=summary,
        purpose=printable(str(suite.get("purpose") or "")),
        notes=told,
        ranking=ranking_lines(analysis),
        quality_alt=f"Plot of BPB% against seconds per prompt. {summary}",
        quality_wide=Markup(inline_svg(pictures.quality_wide, "qw")),
        quality_narrow=Markup(inline_svg(pictures.quality_narrow, "qn")),
        stages_wide=Markup(inline_svg(pictures.stages_wide, "sw")),
        stages_narrow=Markup(inline_svg(pictures.stages_narrow, "sn")),
        rows=[_row(analysis, group) for group in analysis.groups],
        subsets=[printable(subset, limit=60) for subset in analysis.subsets],
        subset_rows=list(_subset_rows(analysis)),
        stages=[stage.label for stage in STAGES],
        stage_rows=list(_stage_rows(analysis)),
        wall=[(printable(str(name)), _wall(value)) for name, value in _section(manifest, "wall_s").items()],
        failures=[_incident(item) for item in analysis.failures],
        remarks=[_incident(item) for item in analysis.remarks],
        provenance=list(_provenance(manifest)),
        argv=printable(shlex.join(str(word) for word in argv)) if isinstance(argv, list | tuple) else argv,
        n_rows=analysis.n_rows,
        schema_version=SCHEMA_VERSION,
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        style=Markup(style),
    )


def inline_svg(svg: bytes, prefix: str) -> str:
    """A figure as part of a page: no prologue or comments, own ids, colours that follow the theme."""
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-").replace(INK, "currentColor")
    for place, colour in enumerate(COLOURS):
        text = text.replace(colour, f"var(--c{place}, {colour})")
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _asset(name: str) -> str:
    return resources.files("ttft_bench.report").joinpath(name).read_text(encoding="utf-8")


def _section(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = manifest.get(name)
    return found if isinstance(found, Mapping) else {}


def _title(manifest: Mapping[str, Any], suite: Mapping[str, Any]) -> str:
    parts = ["ttft-bench", suite.get("name"), manifest.get("run_id")]
    return " · ".join(printable(str(part), limit=80) for part in parts if part)


def _setting(group: Group) -> dict[str, Any]:
    return {
        "strategy": printable(group.key.strategy, limit=120),
        "reuse": printable(group.key.reuse, limit=40),
        "budget": group.key.budget,
        "control": group.control,
    }


def _row(analysis: Analysis, group: Group) -> dict[str, Any]:
    bpb = group.bpb
    return {
        **_setting(group),
        "kind": "control" if group.control else "frontier" if group in analysis.frontier else "",
        "bpb": None if bpb is None else bpb.mean,
        "bpb_shown": fmt.fixed(None if bpb is None else bpb.mean),
        "low": None if bpb is None else bpb.low,
        "interval": fmt.MISSING if bpb is None else fmt.interval(bpb.low, bpb.high, bpb.n),
        "corpus": group.bpb_pct_corpus,
        "corpus_shown": fmt.fixed(group.bpb_pct_corpus),
        "n": len(group.prompts),
        "coverage": analysis.coverage(group),
        "times": [_time(group, key) for key in ("select_s", "finetune_s", COST.key)],
        "distinct": group.n_distinct,
        "distinct_shown": fmt.fixed(group.n_distinct, 1),
        "gap": group.gap_max,
        "gap_shown": fmt.gap(group.gap_max),
        "failed": sum(count for status, count in group.statuses.items() if status != "ok"),
    }


def _time(group: Group, key: str) -> dict[str, Any]:
    found = group.times.get(key)
    if found is None:
        return {"value": None, "shown": fmt.MISSING, "quartiles": ""}
    quartiles = f"{fmt.seconds(found.q25)} – {fmt.seconds(found.q75)}"
    return {"value": found.median, "shown": fmt.seconds(found.median), "quartiles": quartiles}


def _subset_rows(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for series in analysis.series:
        if not series.subsets:
            continue
        cells = []
        for subset in analysis.subsets:
            found = series.subsets.get(subset)
            cells.append(
                {
                    "value": None if found is None else found.mean,
                    "shown": fmt.fixed(None if found is None else found.mean),
                    "small": "" if found is None else _small(found.low, found.high, found.n),
                }
            )
        yield {**_setting(series.largest), "cells": cells}


def _small(low: float | None, high: float | None, n: int) -> str:
    shown = fmt.interval(low, high, n, decimals=1)
    return shown if low is None else f"{shown}, n = {n}"


def _stage_rows(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for series in analysis.series:
        if series.largest.times:
            times = [_time(series.largest, stage.key) for stage in STAGES]
            yield {**_setting(series.largest), "times": times}


def _incident(item: Incident) -> dict[str, Any]:
    return {
        "strategy": printable(item.key.strategy, limit=120),
        "reuse": printable(item.key.reuse, limit=40),
        "budget": item.key.budget,
        "status": printable(item.status, limit=40),
        "reason": printable(item.reason, limit=600),
        "count": item.count,
        "subsets": printable(", ".join(item.subsets), limit=200),
    }


def _wall(value: Any) -> str:
    return fmt.seconds(value) if isinstance(value, int | float) else printable(str(value))


def _provenance(manifest: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    general = {name: value for name, value in manifest.items() if not isinstance(value, Mapping)}
    for heading, part in (
        ("Run", general),
        *((title, _section(manifest, name)) for title, name in _SECTIONS),
    ):
        rows = [(printable(name), printable(value, limit=2000)) for name, value in _flatten(part)]
        if rows:
            yield heading, rows


def _flatten(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield f"{prefix}{name}", ", ".join(str(item) for item in value) or fmt.MISSING
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, default=str)


__all__ = ["build_html", "inline_svg"]
