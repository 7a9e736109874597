from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ttft_bench import cli


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def invoke(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, in an empty folder: `invoke("sweep", "--limit", "1")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):  # rich asks for all of them
        monkeypatch.delenv(name, raising=False)

    def run(*argv: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["ttft-bench", *map(str, argv)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, " ".join(captured.err.split()))

    return run


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cli-cache")


@pytest.fixture
def tiny(tmp_path, tiny_model_dir, tiny_embedder_dir, tiny_corpus_file, monkeypatch, cache_dir) -> Path:
    """A suite file for tiny models; further TOML goes behind it."""
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(cache_dir))
    file = tmp_path / "tiny.toml"
    file.write_text(
        f"""
        name = "tiny"
        [corpus]
        source = "{tiny_corpus_file}"
        prompts_per_subset = 1
        [pool]
        embedder = "{tiny_embedder_dir}"
        k = 20
        [select]
        strategies = ["knn", "sift"]
        budgets = [1, 2]
        [model]
        name = "{tiny_model_dir}"
        max_tokens = 48
        [[controls]]
        label = "random-corpus"
        strategy = "random"
        """,
        encoding="utf-8",
    )
    return file
