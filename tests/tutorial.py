"""Run a tutorial as it stands on its page: files are written, programs and commands are run, in one folder.

Commands and programs are the page's own. Only what they would fetch is replaced: a command gets the flags of tiny
stand-ins behind its own, and ``pip install`` goes to a folder of the test.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ttft_bench import cli

PAGES = Path(__file__).parents[1] / "docs" / "pages"
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@dataclass
class Tutorial:
    """One page, run in the present folder.

    Attributes:
        page: name of the page.
        stand_ins: command -> flags that are put behind it.
        monkeypatch: of the test.
        names: what its programs have defined.
        ran: every command, as it stands on the page.
    """

    page: str
    stand_ins: Mapping[str, Sequence[str]]
    monkeypatch: pytest.MonkeyPatch
    names: dict[str, Any] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run every block, in order; blocks of plain text are for reading."""
        text = (PAGES / self.page).read_text(encoding="utf-8")
        for language, title, code in _BLOCK.findall(text):
            if title:
                Path(title).write_text(code, encoding="utf-8")
            if language == "toml":
                tomllib.loads(code)
            elif language == "python" and not title:
                exec(compile(code, f"{self.page}, line {code.splitlines()[0]!r}", "exec"), self.names)
            elif language == "sh":
                for line in code.replace("\\\n", " ").splitlines():
                    self.command(line)
            else:
                assert title or language == "text", f"{self.page}: what is to become of a block of {language}?"

    def command(self, line: str) -> None:
        """Run one command, which has to succeed."""
        self.ran.append(line)
        words = shlex.split(line, comments=True)
        if words[:3] == ["pip", "install", "-e"]:
            self._install(Path(words[3]))
        elif words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], check=True)
        else:
            assert words[0] == "ttft-bench", line
            self._bench([*words[1:], *self.stand_ins.get(words[1], ())])

    def _bench(self, words: Sequence[str]) -> None:
        self.monkeypatch.setattr(sys, "argv", ["ttft-bench", *words])
        try:
            cli.main()
        except SystemExit as end:
            assert not end.code, f"ttft-bench {shlex.join(words)} ended with {end.code}"

    def _install(self, folder: Path) -> None:
        target = Path("site-packages").resolve()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        command += ["--disable-pip-version-check", "--target", str(target), str(folder.resolve())]
        subprocess.run(command, check=True, capture_output=True)
        self.monkeypatch.syspath_prepend(str(target))
        self.monkeypatch.setenv(
            "PYTHONPATH", os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")]).strip(":")
        )
