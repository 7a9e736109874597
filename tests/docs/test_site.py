"""The site builds without a warning, leads nowhere wrong, needs no network, and shows what it should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checking import menu_faults, site_faults
from maths import mathml
from roles import as_markdown
from staging import ROOT, mended, sources

PAGES = ROOT / "docs" / "pages"


def test_it_is_built_and_every_page_is_there(site: Path) -> None:
    expected = {re.sub(r"(?:README|index)\.md$", "index.html", name) for name in sources() if name.endswith(".md")}
    assert {name.replace(".md", ".html") for name in expected} <= {
        path.relative_to(site).as_posix() for path in site.rglob("*.html")
    }


def test_formulas_are_drawn_and_docstrings_are_in(site: Path) -> None:
    concepts = (site / "concepts.html").read_text(encoding="utf-8")
    assert concepts.count("<math") > 20 and "arithmatex" not in concepts and "MathJax" not in concepts
    assert (site / "math.woff").stat().st_size > 50_000
    api = (site / "api.html").read_text(encoding="utf-8")
    for name in ("ttft_bench.selector.Selector.select", "ttft_bench.lab.Lab.adapted", "ttft_bench.lab.Tuned.generate"):
        assert f'id="{name}"' in api
    assert ":class:" not in api and ":func:" not in api and ":data:" not in api


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="here">A</h1><a href="#here"></a><a href="b.html#there"></a><a href="c.html"></a><img src="d.png">'
        '<a href="https://example.org"></a><script src="https://example.org/e.js"></script><a href="b.html"></a>',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text("<p>B</p>", encoding="utf-8")
    assert site_faults(tmp_path) == [
        "a.html fetches https://example.org/e.js",
        "a.html leads to b.html#there, which has no such anchor",
        "a.html leads to c.html, which is not there",
        "a.html leads to d.png, which is not there",
    ]
    menu = "nav:\n  - A: a.md\n  - More:\n      - B: b.md\n\nplugins: []\n"
    assert menu_faults(menu, ["a.md", "c.md", "d.png", "reports/2026-01-01_x/README.md"]) == [
        "the menu names b.md, which is not there",
        "c.md is not in the menu of docs/mkdocs.yml",
    ]


def test_links_of_the_repository_become_links_of_the_site() -> None:
    there = {
        "a.md": PAGES / "a.md",
        "reports/README.md": ROOT / "reports" / "README.md",
        "reports/run/f.png": ROOT / "reports" / "run" / "f.png",
    }
    page = "[r](../../reports/README.md#x) ![f](../../reports/run/f.png) [a](a.md) [code](../../pyproject.toml) [w](https://w)"
    assert (
        mended(page, "a.md", there) == "[r](reports/README.md#x) ![f](reports/run/f.png) [a](a.md) code [w](https://w)"
    )
    account = "[a](../docs/pages/a.md) [gone](nowhere.md)\n\n```\n[a](../docs/pages/a.md)\n```\n"
    expected = "[a](../a.md) [gone](nowhere.md)\n\n```\n[a](../docs/pages/a.md)\n```\n"
    assert mended(account, "reports/README.md", there) == expected


def test_a_formula_that_would_be_drawn_as_code_is_refused() -> None:
    assert "<mfrac>" in mathml(r"\frac{a}{b}", block=True)
    with pytest.raises(ValueError, match=r"unknown command \\nonsense"):
        mathml(r"\nonsense{a}", block=False)


def test_docstrings_become_markdown() -> None:
    assert as_markdown("see :class:`~a.b.C` and :mod:`d.e`::\n\n    x = 1") == "see `C` and `d.e`:\n\n    x = 1"
