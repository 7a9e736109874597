"""Documents that are made from the code, or name what is in it, cannot drift from it."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from documented import KEYS
from ttft_bench.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "strategies/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
#: `assets path` prints nothing but a path.
WITHOUT_JSON = {"assets path"}


def _generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = _generator()
COMMANDS = {name.removeprefix("ttft-bench "): command for name, command in GENERATE.leaves(typer.main.get_command(app))}


def _flags(command) -> set[str]:
    return {"--help", "-h"} | {flag for item in command.params for flag in (*item.opts, *item.secondary_opts)}


def test_pages_made_from_the_code_are_up_to_date(monkeypatch, capsys):
    assert GENERATE.stale() == [], "run python docs/generate.py"
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert GENERATE.main() == 0
    monkeypatch.setitem(GENERATE.PAGES, "commands.md", lambda: "another page")
    assert GENERATE.main() == 1 and "docs/commands.md" in capsys.readouterr().err


def test_every_command_has_the_flags_that_every_command_has():
    for name, command in COMMANDS.items():
        assert {"--quiet", "-q", "--verbose", "-v"} <= _flags(command), name
        assert ("--json" in _flags(command)) == (name not in WITHOUT_JSON), name
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"


def test_the_json_of_every_command_is_described():
    assert {name.removesuffix(" --dry-run") for name in KEYS} == set(COMMANDS) - WITHOUT_JSON


def _named_commands(page: Path) -> list[str]:
    """Command lines in code blocks and in code within text."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"```(?:sh|text)\n(.*?)```", text, re.DOTALL):
        found += [
            part.strip()
            for line in block.replace("\\\n", " ").splitlines()
            for part in line.partition(" #")[0].split(";")
        ]
    found += re.findall(r"(?<!`)`(ttft-bench [^`]+)`(?!`)", text)
    return [re.split(r"\\?\|", line)[0] for line in found if line.startswith("ttft-bench ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_flag_that_a_page_names_exists(page):
    for line in _named_commands(page):
        words = shlex.split(line)[1:]
        name = next((name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), None)
        groups = {known.partition(" ")[0] for known in COMMANDS if " " in known}
        if name is None:
            assert words[0] in groups | {"COMMAND"} or words[0].startswith("-"), line
            continue
        flags = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert flags <= _flags(COMMANDS[name]), line


def test_the_readme_leads_to_the_reference():
    assert "docs/commands.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["cff-version"] == "1.2.0" and cited["title"] == project["name"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert cited["authors"] == [{"name": "ttft-bench developers"}]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    urls = {reference["url"] for reference in cited["references"]}
    assert urls == set(re.findall(r"https://arxiv\.org/abs/[\d.]+", readme)), "the papers that the README names"
