"""``lint-rules``: what each rule of the ruff linter checks, why, and how to mend it. The group is the linter.

The executable is the one for the user's own platform, so its wheel has no one hash; what it prints is
pinned instead.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ttft_bench.corpus.documents import Document
from ttft_bench.errors import CorpusError

LEAST, MOST = 300, 3000

#: SHA-256 of the rules in canonical form: the fields below, sorted by code, as compact JSON.
PINNED = "d562a4a4cf985559fc0aa3589d9e5bf4964c33e08b75128346ae7116972bb49a"

_FIELDS = ("code", "name", "linter", "summary", "explanation")
_TIMEOUT_S = 60


def read(folder: Path) -> Iterator[Document]:
    """One document for each rule with an explanation.

    Raises:
        CorpusError: the executable does not run, or prints other rules than those pinned.
    """
    rules = _canonical(_print_rules(folder))
    printed = hashlib.sha256(json.dumps(rules, separators=(",", ":")).encode()).hexdigest()
    if printed != PINNED:
        raise CorpusError(
            f"this build of ruff documents other rules than those pinned (sha256 {printed}, expected "
            f"{PINNED}): run `ttft-bench assets verify ruff-rules`, and report it if that says ok"
        )
    for rule in rules:
        text = f"{rule['name']} ({rule['code']})\n\n{rule['summary']}\n\n{rule['explanation']}".strip()
        if LEAST <= len(text) <= MOST:
            yield Document(text, "lint-rules", rule["linter"] or "no linter")


def _canonical(rules: list[dict[str, Any]]) -> list[dict[str, str]]:
    chosen = [{field: (rule.get(field) or "").replace("\r\n", "\n") for field in _FIELDS} for rule in rules]
    return sorted(chosen, key=lambda rule: (rule["code"], rule["name"]))


def _print_rules(folder: Path) -> list[dict[str, Any]]:
    found = sorted(folder.rglob("ruff*"))
    executables = [file for file in found if file.is_file()]
    if len(executables) != 1:
        raise CorpusError(f"{folder} holds {len(executables)} ruff executables where one was due")
    command = [str(executables[0]), "rule", "--all", "--output-format", "json"]
    try:
        # An empty folder, so that no configuration of the user's is read.
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(
                command,
                cwd=empty,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=True,
                stdin=subprocess.DEVNULL,
            )
        rules = json.loads(done.stdout.decode("utf-8"))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise CorpusError(
            f"cannot read the rules of ruff ({error}): run `ttft-bench assets verify ruff-rules`"
        ) from error
    if not isinstance(rules, list):
        raise CorpusError("cannot read the rules of ruff: it did not print a list")
    return rules


__all__ = ["PINNED", "read"]
