"""Filling templates in, and writing them where nothing was before."""

from __future__ import annotations

import shlex
import shutil
from importlib.resources import files
from pathlib import Path

from ttft_bench import __version__
from ttft_bench.errors import StorageError, UsageError
from ttft_bench.registry import EMBEDDERS, SELECTORS, SUITES
from ttft_bench.scaffold.names import Names, check_name

#: Kind of plug-in -> its entry-point group.
KINDS = {"strategy": SELECTORS, "suite": SUITES, "embedder": EMBEDDERS}

#: Template -> where it goes; ``{module}`` and ``{name}`` are filled in.
_COMMON = {"common/gitignore": ".gitignore", "common/ci.yml": ".github/workflows/ci.yml"}
LAYOUT: dict[str, dict[str, str]] = {
    "strategy": {
        "strategy/pyproject.toml": "pyproject.toml",
        "strategy/README.md": "README.md",
        "strategy/module.py": "{module}.py",
        "strategy/test_contract.py": "tests/test_contract.py",
        **_COMMON,
    },
    "suite": {
        "suite/pyproject.toml": "pyproject.toml",
        "suite/README.md": "README.md",
        "suite/module.py": "{module}/__init__.py",
        "suite/suite.toml": "{module}/{name}.toml",
        "suite/test_suite.py": "tests/test_suite.py",
        **_COMMON,
    },
    "embedder": {
        "embedder/pyproject.toml": "pyproject.toml",
        "embedder/README.md": "README.md",
        "embedder/module.py": "{module}.py",
        "embedder/test_contract.py": "tests/test_contract.py",
        **_COMMON,
    },
}


def write_distribution(kind: str, name: str, parent: Path) -> Path:
    """Write a complete distribution into a new folder.

    Args:
        kind: one of :data:`KINDS`.
        name: of the plug-in, and of the folder.
        parent: where the folder goes; made if it is not there.

    Returns:
        The new folder.

    Raises:
        UsageError: the name cannot be or is taken, or the folder exists.
        StorageError: it cannot be written; nothing is left behind.
    """
    names = check_name(name, KINDS[kind])
    folder = parent / name
    texts = {place.format(module=names.module, name=name): _fill(file, names) for file, place in LAYOUT[kind].items()}
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError as error:
        taken = folder if folder.exists() or folder.is_symlink() else parent
        raise UsageError(
            f"{taken} exists and is left as it is: remove it, take another name, or give --output another folder"
        ) from error
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}: give --output a folder of yours") from error
    try:
        for place, text in texts.items():
            file = folder / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)  # ours: it was made a moment ago
        raise StorageError(f"{folder} cannot be written: {error.strerror}; it was removed again") from error
    return folder


def next_steps(kind: str, name: str, folder: Path) -> list[str]:
    """Commands that install, check and use what was written."""
    use = {
        "strategy": [f"ttft-bench check {name}", f"ttft-bench sweep --strategies {name},hullft,knn"],
        "suite": [f"ttft-bench suites {name}", f"ttft-bench sweep --suite {name}"],
        "embedder": ["ttft-bench embedders", f"ttft-bench sweep --embedder {name}"],
    }
    return [f"pip install -e {shlex.quote(str(folder))}", *use[kind]]


def _fill(template: str, names: Names) -> str:
    from jinja2 import Environment, StrictUndefined

    text = (files("ttft_bench.scaffold") / "templates" / f"{template}.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["aligned"] = _aligned
    return environment.from_string(text).render(names=names, version=__version__)


def _aligned(text: str) -> str:
    """Lines ``command  # comment`` with their comments in one column, however long a name makes the commands."""
    parts = [line.partition("  # ") for line in text.splitlines()]
    width = max((len(command) for command, mark, _ in parts if mark), default=0)
    return "".join(f"{command:{width}}{mark}{comment}".rstrip() + "\n" for command, mark, comment in parts)


__all__ = ["KINDS", "LAYOUT", "next_steps", "write_distribution"]
