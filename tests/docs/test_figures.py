"""Figures that pages cite in their own words are those of the committed runs."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from staging import ROOT

PAGES = ROOT / "docs" / "pages"
QUICK = ROOT / "reports" / "2026-11-23_quick"
MINIPILE = ROOT / "reports" / "2026-11-26_minipile"


def words(page: str) -> str:
    """A page as one line, so that a sentence is found wherever it is broken."""
    return " ".join((PAGES / page).read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """The rows of the large run at its largest budget, without reuse."""
    found = pd.read_parquet(MINIPILE / "results.parquet")
    return found[(found.budget == 50) & (found.reuse_interval == 1)]


def test_seconds_of_the_first_run():
    wall = json.loads((QUICK / "manifest.json").read_text(encoding="utf-8"))["wall_s"]
    assert f"took {wall['finetune']:.0f} s of finetuning, after {wall['prepare']:.0f} s of preparation" in words(
        "index.md"
    )


def test_distinct_documents_of_the_large_run(rows):
    distinct = rows.groupby("strategy").n_distinct.mean()
    sift, wide = distinct["sift"], distinct["sift[lam=1.0]"]
    said = rf"trains on {sift:.0f} different documents at $\lambda = 0.2$, and on {wide:.0f} at $\lambda = 1$"
    assert said in words("concepts.md")
    assert f"spends 50 steps on {distinct['hullft']:.0f} documents, kNN on {distinct['knn']:.0f}" in words(
        "read-a-report.md"
    )


def test_strata_and_domains_of_the_large_run(rows):
    clean = int((rows[rows.strategy == "knn"].stratum == "clean").sum())
    assert f"Here {clean} of 180 prompts are clean" in words("read-a-report.md")
    means = rows.pivot_table(index="subset", columns="strategy", values="bpb_pct")
    behind = means["random-corpus"] - means["knn"]
    assert "on `wikipedia` random documents of the corpus are about two points behind kNN" in words("read-a-report.md")
    assert round(behind.pop("wikipedia")) == 2
    assert "on every other domain more than five" in words("read-a-report.md") and behind.min() > 5


def test_memory_and_times_are_measured_or_planned():
    measured = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    pile = words("run-the-pile.md")
    for figure in re.findall(r"([\d,]+) MiB", pile):
        assert f" {figure} |" in measured
    planned = (PAGES / "reproduce-the-papers.md").read_text(encoding="utf-8")
    cited = re.findall(r"\[(\d+ (?:h|days))", pile)
    assert len(cited) == 2 and all(f"| {time} |" in planned for time in cited)
