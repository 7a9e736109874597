"""Write the pages of this folder that are made from the code: ``python docs/generate.py``.

With ``--check`` nothing is written; pages that are not what the code says are named, and the exit code is 1.
``tests/test_docs.py`` does the same.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from ttft_bench.cli import app

FOLDER = Path(__file__).parent
_MADE = "<!-- Made by `python docs/generate.py`; do not edit. -->"

_HABITS = """\
# Commands

Every command takes `--help`, `--quiet` and `--verbose`. `python -m ttft_bench` is the same as `ttft-bench`.

**Where things go.** Results go to stdout: tables, Markdown, or JSON with `--json`. Progress, warnings and errors go to
stderr. `--quiet` drops progress, never warnings and errors; `--verbose` adds times, and tracebacks to errors. Bars are
drawn on a terminal only. Colours too, and not where `NO_COLOR` is set.

**JSON** is one value, ASCII, with null for what is not finite. Its keys are listed with each command. Errors stay
messages on stderr; the exit code says that there was one.

**Completion.** `ttft-bench --install-completion` sets up the shell that you use: bash, zsh, fish or PowerShell. Then
the tab key completes commands and flags, names of strategies (in lists too), suites, corpora, assets and run folders.

**When something is wrong**, `ttft-bench doctor` examines the installation, and says what to do.

| exit code | meaning |
|---:|---|
| 0 | all ok |
| 1 | some cells or checks failed, results are kept; for `doctor`: there is a problem |
| 2 | usage: a flag, a name or a suite file asks for what cannot be |
| 3 | a plug-in or a library is missing or broken |
| 4 | data or a model is missing or unusable, or a file cannot be read or written |
| 70 | a fault of ttft-bench: the message names a file with the traceback |
| 130 | interrupted; rows are kept, and the same command goes on |
| 141 | the reader of the output went away, as in `ttft-bench strategies \\| head -1` |

| variable | meaning |
|---|---|
| `TTFT_BENCH_CACHE` | the cache folder, instead of the platform's own |
| `OMP_NUM_THREADS`, `MKL_NUM_THREADS` | threads on the processor; unset, as many as it and a container's quota allow |
| `NO_COLOR` | no colours |
| `COLUMNS` | width of tables, where the terminal does not say |
"""


def commands_page() -> str:
    """The command reference: every command with its arguments, flags, defaults and the keys of its JSON."""
    keys = tomllib.loads((FOLDER / "json.toml").read_text(encoding="utf-8"))
    parts = [_MADE, "", _HABITS]
    found = list(leaves(typer.main.get_command(app)))
    parts += ["| command | what it does |", "|---|---|"]
    parts += [f"| [`{name}`](#{_anchor(name)}) | {_first(command.help)} |" for name, command in found]
    for name, command in found:
        parts += ["", *_command(name, command, keys)]
    return "\n".join(parts) + "\n"


def leaves(command: Any, name: str = "ttft-bench") -> Iterator[tuple[str, Any]]:
    """Every command below one, in order, with its whole name."""
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
    for child, found in (children or {}).items():
        if not found.hidden:
            yield from leaves(found, f"{name} {child}")


def _command(name: str, command: Any, keys: dict[str, dict[str, str]]) -> Iterator[str]:
    context = typer.Context(command, info_name=name)
    yield f"## `{name}`"
    yield ""
    yield (command.help or "").strip()
    yield ""
    yield "```sh"
    yield " ".join([name, *command.collect_usage_pieces(context)])
    yield "```"
    yield ""
    yield "| argument or flag | default | what it is |"
    yield "|---|---|---|"
    for parameter in command.params:
        if parameter.name not in ("help", "quiet", "verbose") and not getattr(parameter, "hidden", False):
            yield _row(parameter, context)
    for variant in (name, f"{name} --dry-run"):
        listed = keys.get(variant.removeprefix("ttft-bench "))
        if listed:
            yield ""
            yield f"`{variant} --json` prints:"
            yield ""
            yield "| key | meaning |"
            yield "|---|---|"
            yield from (f"| `{key}` | {_cell(meaning)} |" for key, meaning in listed.items())


def _row(parameter: Any, context: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = f"`{parameter.metavar or parameter.name}`"
    else:
        shown = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
        if not parameter.is_flag:
            shown += f" `{parameter.metavar or parameter.display_type(context)}`"
    return f"| {_cell(shown)} | {_cell(_default(parameter))} | {_cell(parameter.help or '')} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or parameter.show_default is False or (default is False and not parameter.secondary_opts):
        return ""
    if isinstance(default, bool):
        return f"`{(parameter.opts if default else parameter.secondary_opts)[0]}`"
    return f"`{default}`"


def _first(text: str | None) -> str:
    """First paragraph of a help text, on one line."""
    return _cell((text or "").strip().partition("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


#: Every page that is made, by its name in this folder.
PAGES: dict[str, Callable[[], str]] = {"commands.md": commands_page}


def stale() -> list[str]:
    """Names of pages that are not what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != make()
    ]


def main() -> int:
    """Write or check all pages."""
    parser = argparse.ArgumentParser(description="Write the pages of docs/ that are made from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is not up to date")
    if parser.parse_args().check:
        for name in stale():
            sys.stderr.write(f"docs/{name} is not what the code says: run python docs/generate.py\n")
        return int(bool(stale()))
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
