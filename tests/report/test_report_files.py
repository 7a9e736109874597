"""What a report writes: figures, and a page that stands alone and escapes everything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from ttft_bench.errors import StorageError
from ttft_bench.report import Report, _write
from ttft_bench.report.palette import COLOURS, styles

Make = Callable[..., Any]

MANIFEST = {
    "run_id": "r1",
    "suite": {"name": "quick", "purpose": "a first look"},
    "plan": {"controls": ["random-corpus"], "model": "tiny"},
    "provenance": {
        "version": "0.1.0",
        "argv": ["ttft-bench", "sweep", "--strategies", "hullft[max_iter=2],knn"],
    },
    "wall_s": {"embed": 61.2},
}


@pytest.fixture
def build(tmp_path: Path, fake_run: Make) -> Callable[..., tuple[Report, str]]:
    """Write a report of rows and hand back the page's source."""

    def _build(rows: list[dict[str, Any]], manifest: dict[str, Any] | None = None) -> tuple[Report, str]:
        report = _write(fake_run(tmp_path, manifest or {}, rows), True)
        return report, (tmp_path / "report.html").read_text(encoding="utf-8")

    return _build


def strings(value: Any) -> list[str]:
    """Every string in nested data."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


class Reader(HTMLParser):
    """Collects tags with attributes, and visible text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_figures_and_page_are_written_whole(build: Make, sweep_rows: Make, tmp_path: Path) -> None:
    report, page = build(sweep_rows({"hullft": 16, "knn": 9}, (1, 2, 4), (1, 2), 4), MANIFEST)
    figures = tmp_path / "figures"
    assert (figures / "quality_vs_time.png").read_bytes().startswith(b"\x89PNG")
    for name in ("quality_vs_time.svg", "time_per_stage.svg"):
        ElementTree.fromstring((figures / name).read_text(encoding="utf-8"))
    assert [path.name for path in report.paths[:2]] == ["results.csv", "results.parquet"]
    assert all(path.is_file() for path in report.paths[2:])
    assert not list(tmp_path.rglob("*.tmp"))
    text = " ".join(Reader(page).words).replace("\N{NO-BREAK SPACE}", " ")
    for expected in (report.summary, "a first look", "61.2 s", "'hullft[max_iter=2],knn'", "corpus BPB%"):
        assert expected in text


def test_the_page_loads_nothing(build: Make, sweep_rows: Make) -> None:
    _, page = build(sweep_rows({"hullft": 16}, (1, 2), (1,), 3), MANIFEST)
    reader = Reader(page)
    assert {"link", "iframe", "object", "embed", "base", "img"}.isdisjoint(tag for tag, _ in reader.tags)
    for _, attributes in reader.tags:
        for name in ("src", "srcset", "data", "action", "poster"):
            assert name not in attributes
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    # Plotly's script names addresses that it could fetch from; the policy leaves it none.
    own = page.replace(get_plotlyjs(), "")
    assert len(own) < len(page) - 1_000_000 and "url(" not in own and "@import" not in own
    assert not re.findall(r"https?://", own)
    policy = next(a["content"] for t, a in reader.tags if t == "meta" and a.get("http-equiv"))
    assert (
        policy is not None
        and "default-src 'none'" in policy
        and "connect-src" not in policy
        and "script-src 'sha256-" in policy
    )
    identifiers = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    targets = {(a.get("href") or a.get("xlink:href") or "#")[1:] for _, a in reader.tags} - {""}
    assert targets <= set(identifiers)


def test_nothing_from_a_plugin_or_corpus_reaches_the_page_as_markup(build: Make, make_cell: Make) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'--><!--{{ 7*7 }}"
    rows = [make_cell(f"s{evil}", p, subset=evil, reason=evil) for p in range(2)]
    rows.append(make_cell("t", 0, None, status="failed", reason=evil, subset=evil, reuse_mode=evil))
    manifest = {
        "run_id": evil,
        "suite": {"name": evil, evil: evil},
        "provenance": {"argv": [evil]},
        "wall_s": {evil: evil},
    }
    _, page = build(rows, manifest)
    reader = Reader(page)
    kinds = [attributes.get("type") for tag, attributes in reader.tags if tag == "script"]
    assert kinds == ["application/json", None, None, None], "data, plotly, charts, tables"
    assert reader.count("img") == 0
    assert "alert(1)" in " ".join(reader.words)
    assert "{{ 7*7 }}" in " ".join(reader.words)
    specs = page.split('id="specs">')[1].split("</script>")[0]
    assert "<" not in specs and json.loads(specs)
    texts = [text for spec in strings(json.loads(specs)) for text in [spec] if "alert" in text]
    assert texts and not any(re.search(r"<(?!br>|extra>|/extra>)", text) for text in texts)
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)


def test_any_name_can_be_drawn(build: Make, make_cell: Make) -> None:
    names = ["$\\frac{$", "a$b$c", "séléction", "选择器", "<b>", "x" * 300, "_hidden", "\x1b[1m", "%s{0}"]
    rows = [make_cell(name, p, budget=n) for name in names for p in range(2) for n in (1, 2)]
    report, page = build([*rows, make_cell("random-corpus", 0)], MANIFEST)
    assert report.summary
    assert "\x1b" not in page


def test_the_svg_is_the_same_every_time(build: Make, sweep_rows: Make, tmp_path: Path) -> None:
    svg = tmp_path / "figures" / "quality_vs_time.svg"
    rows = sweep_rows({"hullft": 16}, (1, 2), (1, 2), 3)
    build(rows)
    first = svg.read_bytes()
    build(rows)
    assert svg.read_bytes() == first
    assert b"<dc:date>" not in first


def test_a_run_without_a_single_success_still_has_a_report(build: Make, make_cell: Make) -> None:
    rows = [make_cell("knn", p, None, status="oom", reason="out of memory", select_s=None) for p in range(2)]
    report, page = build(rows)
    assert "2 oom" in report.summary
    assert "out of memory" in page
    assert 'id="failures"' in page


def test_rows_without_times_gaps_or_subsets_still_have_a_report(build: Make, make_cell: Make) -> None:
    empty = dict.fromkeys(("embed_s", "retrieve_s", "select_s", "finetune_s", "restore_s", "score_s", "n_distinct"))
    _, page = build([make_cell("knn", p, subset="", **empty) for p in range(2)])
    assert "No setting has both a quality and a time." in page and "No setting was timed." in page


def test_many_strategies_far_from_the_untouched_model(build: Make, make_cell: Make) -> None:
    rows = [make_cell(f"s{i}", p, 40 + i / 10 + p, budget=2) for i in range(18) for p in (0, 1)]
    rows += [make_cell("s0", p, 50.0 + p, budget=1) for p in (0, 1)]
    assert build(rows)[0].summary


def test_a_folder_that_cannot_be_written_is_said_so(build: Make, make_cell: Make, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(StorageError, match="Free some space or make the folder writable"):
        build([make_cell()])


def test_colours_are_fixed_and_distinct_until_they_run_out() -> None:
    few, more = styles(["knn", "sift", "hullft"]), styles(["knn", "sift", "hullft", "random", "exact-qp"])
    assert few.items() <= more.items()
    names = [f"strategy-{i}" for i in range(len(COLOURS) * 3)]
    found = styles(names)
    assert len({found[name][0] for name in sorted(names)[: len(COLOURS)]}) == len(COLOURS)
    assert len(set(found.values())) == len(names)


def test_a_strategy_keeps_its_colour_whatever_controls_and_variants_stand_beside_it() -> None:
    alone = styles(["knn", "sift", "hullft"])
    beside = styles(
        ["knn", "sift", "hullft", "hullft[cap=2]", "a-control", "b-control"], last={"a-control", "b-control"}
    )
    assert alone.items() <= beside.items()
    assert len({colour for colour, _ in beside.values()}) == len(beside)


def test_every_colour_of_the_palette_stands_out_in_both_themes() -> None:
    sheet = resources.files("ttft_bench.report.page").joinpath("page.css").read_text(encoding="utf-8")
    themes = [
        dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))
        for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", sheet)
    ]
    assert len(themes) == 3, "light, dark by choice, dark by the system"
    assert themes[1] == themes[2]
    for theme in themes:
        for place in range(len(COLOURS)):
            assert contrast(theme[f"c{place}"], theme["paper"]) >= 3, "graphics, after WCAG 1.4.11"
        for name in ("ink", "soft", "accent", "warn", "good", "bad"):
            assert contrast(theme[name], theme["paper"]) >= 4.5, "text, after WCAG 1.4.3"
        assert contrast(theme["edge"], theme["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    """Ratio of relative luminances, after WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_importing_the_report_is_light_and_building_it_needs_no_torch() -> None:
    code = (
        "import sys, ttft_bench.report as r;"
        "heavy = {'torch', 'matplotlib', 'plotly', 'scipy', 'jinja2', 'pandas'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "import ttft_bench.report.page, ttft_bench.report.pictures, ttft_bench.report.table;"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})


def test_without_the_library_of_the_page_everything_else_is_written_and_said(
    tmp_path: Path, fake_run: Make, sweep_rows: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    report = _write(fake_run(tmp_path, MANIFEST, sweep_rows({"knn": 9}, (1,), (1,), 3)), True)

    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "README.md").is_file()
    assert "pip install plotly" in report.notes[-1]
    assert f"ttft-bench report {tmp_path}" in report.notes[-1]
