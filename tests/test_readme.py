"""The README cannot drift: its table, picture and commands are those of the repository."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|") and "BPB%" not in line and "---" not in line]


def test_picture_and_table_are_those_of_a_curated_run():
    (picture,) = re.findall(r"!\[[^]]*\]\((reports/[^)]+\.png)\)", README)
    assert (ROOT / picture).is_file()
    run = (ROOT / picture).parents[1]
    assert {"manifest.json", "results.jsonl", "report.html", "README.md"} <= {path.name for path in run.iterdir()}
    rows = set(table((run / "README.md").read_text(encoding="utf-8")))
    shown = [line for line in table(README) if line.startswith(("| hullft", "| sift", "| knn", "| random"))]
    assert len(shown) >= 4 and set(shown) <= rows


def test_every_make_target_named_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_link_within_the_repository_leads_somewhere():
    for page in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        for link in re.findall(r"\]\((?!https?://)([^)#]+)\)", page):
            assert (ROOT / link).exists(), link
