"""The page: one self-contained file that opens without a network and runs no script but its own.

Autoescaping is on. Marked as safe are only our style sheet, our scripts and plotly's (the content security policy
allows them by their hashes, so an injected one would not run), and data as JSON without a single ``<``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from ttft_bench.report.charts import Chart
from ttft_bench.report.charts.interactive import colour_name, panel_specs
from ttft_bench.report.charts.model import Rule
from ttft_bench.report.findings import Findings
from ttft_bench.report.page import answers, settings
from ttft_bench.report.page.provenance import commands, provenance, section, title, wall
from ttft_bench.report.page.tables import tone_of
from ttft_bench.report.page.text import breakable, glued
from ttft_bench.report.paired.compare import TIE_BPB_PCT
from ttft_bench.report.paired.markdown import TIMES_CAPTION
from ttft_bench.report.paired.outcomes import MIN_GROUPS, MIN_PROMPTS
from ttft_bench.report.paired.significance import EQUIVALENCE_MARGIN
from ttft_bench.report.questions.falsifiers import RULE
from ttft_bench.report.summary import beside_reference, ranking_lines
from ttft_bench.report.view import View
from ttft_bench.sweep.schema import SCHEMA_VERSION
from ttft_bench.text import printable

#: A larger file of rows stays beside the page and is linked to.
MAX_EMBEDDED_BYTES = 3_000_000


def build_page(
    views: Sequence[View],
    charts: Sequence[Sequence[Chart]],
    findings: Findings,
    manifest: Mapping[str, Any],
    summary: str,
    told: Sequence[str],
    parquet: bytes = b"",
) -> str:
    """Render the page.

    Args:
        views: every scope, the largest first.
        charts: the figures of each.
        findings: for the falsifiers; those of scopes stand in the views.
        manifest: of the run; every key is optional.
        summary: one sentence.
        told: what a reader must know before comparing.
        parquet: all rows as a Parquet file, to be downloaded from the page.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= {"tone": tone_of, "glued": glued, "breakable": breakable}
    scripts = [_plotly(), _asset("charts.js"), _asset("tables.js")]
    scopes = [_scope(place, view, own) for place, (view, own) in enumerate(zip(views, charts, strict=True))]
    specs = {chart["id"]: chart["specs"] for scope in scopes for chart in scope["charts"].values()}
    embedded = base64.b64encode(parquet).decode() if len(parquet) <= MAX_EMBEDDED_BYTES else ""
    failures = [item for view in views for item in view.analysis.failures]
    remarks = [item for view in views for item in view.analysis.remarks]
    return environment.from_string(_asset("page.html.j2")).render(
        title=title(manifest),
        summary=summary,
        beside=beside_reference(views[0].analysis, views[0].found.parts[0].family) if views else "",
        purpose=printable(str(section(manifest, "suite").get("purpose") or "")),
        notes=told,
        scopes=scopes,
        settings=settings.settings_table(views),
        reference=printable(findings.scopes[0].reference, limit=120) if findings.scopes else "",
        falsifiers=answers.falsifier_table(findings.falsifiers) if findings.falsifiers else None,
        falsifier_faults=[printable(fault) for fault in findings.falsifier_faults],
        rule=RULE.replace("*", ""),
        failures=answers.incident_table("failures", "Rows that did not succeed", failures) if failures else None,
        remarks=answers.incident_table("remarks", "Remarks on rows that succeeded", remarks) if remarks else None,
        wall=wall(manifest),
        provenance=list(provenance(manifest)),
        commands=commands(manifest),
        n_rows=sum(view.analysis.n_rows for view in views),
        schema_version=SCHEMA_VERSION,
        parquet=embedded,
        has_parquet=bool(parquet),
        specs=Markup(_json(specs)),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
        style=Markup(_asset("page.css")),
        margin=EQUIVALENCE_MARGIN,
        min_prompts=MIN_PROMPTS,
        min_groups=MIN_GROUPS,
        tie=TIE_BPB_PCT,
        times_caption=TIMES_CAPTION,
    )


def _scope(place: int, view: View, charts: Sequence[Chart]) -> dict[str, Any]:
    found = view.found
    return {
        "place": place,
        "name": printable(view.name, limit=200),
        "reference": printable(found.reference, limit=120),
        "ranking": ranking_lines(view.analysis),
        "charts": {chart.key: _chart(place, chart) for chart in charts},
        "times": answers.times_table("equal-time", found.parts[0].times, "strategy"),
        "unreached": [printable(label, limit=80) for label in answers.unreached(found.parts[0].times)],
        "residual": found.residual.verdict,
        "correlations": answers.residual_table(found.residual),
        "worth": found.worth.verdicts,
        "treatments": answers.times_table("treatment-times", found.worth.table, "what is done"),
        "break_even": answers.break_even_table(found.worth.break_even) if found.worth.break_even else None,
        "regimes": [answers.regime_table(item) for item in found.worth.regimes if item.regimes],
        "no_regimes": [
            printable(f"No map of regimes against {item.rival}: {item.reason}.", limit=300)
            for item in found.worth.regimes
            if not item.regimes
        ],
        "left_out": [
            printable(f"{key} is not compared: {reason}", limit=300) for key, reason in found.parts[0].family.left_out
        ],
    }


def _chart(place: int, chart: Chart) -> dict[str, Any]:
    drawn = {mark.entry for panel in chart.panels for mark in panel.marks if not isinstance(mark, Rule)}
    return {
        "id": f"s{place}-{chart.key}",
        "title": chart.title,
        "caption": chart.caption,
        "missing": chart.missing,
        "panels": [panel.title for panel in chart.panels],
        "legend": [
            {
                "name": entry.name,
                "kind": entry.kind,
                "colour": colour_name(entry.look.colour),
                "dash": entry.look.dash,
                "marker": entry.look.marker,
                "opacity": entry.look.opacity,
                "toggles": entry.name in drawn and entry.kind != "marker",
            }
            for entry in chart.legend
        ],
        "has_names": any(panel.y.categories for panel in chart.panels),
        "specs": panel_specs(chart),
        "table": answers.chart_table(chart),
    }


def _asset(name: str) -> str:
    return resources.files("ttft_bench.report.page").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    # As a browser reads it: the policy's hash is that of the text with plain line breaks.
    script: str = get_plotlyjs()
    return script.replace("\r\n", "\n").replace("\r", "\n")


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element or begin another."""
    found = json.dumps(_rounded(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return found.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _rounded(value: Any) -> Any:
    """Numbers with seven digits: what a picture can show."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value


__all__ = ["MAX_EMBEDDED_BYTES", "build_page"]
