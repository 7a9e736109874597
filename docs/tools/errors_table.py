"""Exit codes and error classes, from :mod:`ttft_bench.errors`."""

from __future__ import annotations

import inspect
import re

from docstrings import cell, marked, paragraphs, sentence
from ttft_bench import errors as module


def exit_codes() -> str:
    """A table of every exit code."""
    source = inspect.getsource(module)
    rows: dict[int, str] = {}
    for name, value in re.findall(r"^(EXIT_\w+) = (\d+)", source, re.MULTILINE):
        said = re.search(rf"^((?:#: .*\n)+){name} = ", source, re.MULTILINE)
        if said is None:
            raise ValueError(f"ttft_bench/errors.py: say above {name}, in lines that begin with #:, what it means")
        rows[int(value)] = " ".join(said[1].replace("#: ", "").replace("``", "`").split())
    for cls in _classes():
        if cls.__base__ is module.TtftBenchError and cls.exit_code not in rows:
            rows[cls.exit_code] = f"{paragraphs(cls)[0]} See [{cls.__name__}](#{cls.__name__.lower()})."
    lines = ["| exit code | meaning |", "|---:|---|"]
    return "\n".join([*lines, *(f"| {code} | {cell(rows[code])} |" for code in sorted(rows))])


def errors() -> str:
    """A section for every error class, in the order of the tree."""
    parts: list[str] = []
    for cls in _classes():
        general = cls.__base__ is module.TtftBenchError
        parts.append(
            f"{'###' if general else '####'} {cls.__name__}\n\n{paragraphs(cls)[0]} Exit code {cls.exit_code}.\n\n"
            f"*What to do:* {sentence(marked(cls, 'Remedy:', '$'))}"
        )
    return "\n\n".join(parts)


def _classes() -> list[type[module.TtftBenchError]]:
    """All of them but the base, each after the one it is a kind of."""

    def below(cls: type[module.TtftBenchError]) -> list[type[module.TtftBenchError]]:
        mine = [sub for sub in cls.__subclasses__() if sub.__module__ == module.__name__]
        return [found for sub in mine for found in (sub, *below(sub))]

    return below(module.TtftBenchError)
