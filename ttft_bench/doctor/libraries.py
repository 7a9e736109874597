"""Python and the libraries: installed, of a version that fits, and importable."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from ttft_bench.doctor.finding import Finding
from ttft_bench.registry.children import ask_each

SECTION = "libraries"
#: A library is imported within so many seconds, on a cold disk too.
_IMPORT_S = 180.0
#: Modules whose import is tried, by distribution: those that bring compiled code or much of their own.
_MODULES = {
    "torch": "torch",
    "transformers": "transformers",
    "sentence-transformers": "sentence_transformers",
    "faiss-cpu": "faiss",
    "cvxpy": "cvxpy",
    "scipy": "scipy.optimize",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "matplotlib": "matplotlib.figure",
    "plotly": "plotly",
}


def examine() -> Iterator[Finding]:
    """Python, what is required, and which extras are there."""
    yield Finding(SECTION, "python", detail=platform.python_version(), data={"version": platform.python_version()})
    try:
        wanted = requires("ttft-bench") or []
        own = version("ttft-bench")
    except PackageNotFoundError:
        remedy = "in the folder of its source: pip install -e ."
        yield Finding(SECTION, "ttft-bench", "problem", "not installed, so that it has no strategies", remedy)
        return
    yield Finding(SECTION, "ttft-bench", detail=own, data={"version": own})
    required, optional = _sorted(wanted)
    # torch first: where it is broken, so is what is built on it.
    ordered = {name: required[name] for name in sorted(required, key=lambda name: (name != "torch", name))}
    broken = _failures([name for name in ordered if name in _MODULES])
    for name, requirement in ordered.items():
        finding = _library(name, requirement, broken.get(name, ""))
        if finding.status == "problem" and name in broken and name != "torch" and "torch" in broken:
            finding = replace(finding, remedy="mend torch first, and look again")
        yield finding
    for extra, names in optional.items():
        missing = [name for name in names if _version(name) is None]
        told = f'not installed: {", ".join(missing)} (pip install "ttft-bench[{extra}]")' if missing else "installed"
        yield Finding(SECTION, f"extra {extra}", detail=told, data={"missing": missing})
    if PathFinder.find_spec("pip") is None:  # as in ttft_bench.assets.pip, which needs it
        told = "not installed: assets cannot be downloaded"
        yield Finding(SECTION, "pip", "warning", told, "python -m ensurepip")


def _sorted(lines: list[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Distributions that are required with their whole requirement, and those of each extra but the developers' one."""
    required: dict[str, str] = {}
    optional: dict[str, list[str]] = {}
    for line in lines:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if extra is None:
            if _applies(line):
                required[name] = requirement
        elif extra[1] != "dev":
            optional.setdefault(extra[1], []).append(name)
    return required, optional


def _library(name: str, requirement: str, failure: str) -> Finding:
    found = _version(name)
    data = {"version": found, "required": requirement}
    if found is None:
        return Finding(SECTION, name, "problem", "not installed", f'pip install "{requirement}"', data)
    if not _fits(requirement, found):
        told = f"{found}, where {requirement} is needed"
        return Finding(SECTION, name, "problem", told, f'pip install "{requirement}"', data)
    if failure:
        remedy = f"install it again, from where it came: pip install --force-reinstall --no-deps {name}=={found}"
        return Finding(SECTION, name, "problem", f"{found} cannot be imported: {failure}", remedy, data)
    return Finding(SECTION, name, detail=found, data=data)


def _failures(names: list[str]) -> dict[str, str]:
    """Why those of the distributions that are installed cannot be imported; the others are left out."""
    there = [name for name in names if _version(name) is not None]
    items = [{"task": "import", "module": _MODULES[name]} for name in there]
    answers = ask_each("ttft_bench.doctor.probe", items, _IMPORT_S, "import")
    told = (answer if isinstance(answer, str) else str(answer.get("error", "")) for answer in answers)
    return {name: why for name, why in zip(there, told, strict=True) if why}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _applies(line: str) -> bool:
    """Whether a requirement is one of this platform and Python."""
    parsed = _parsed(line)
    return parsed is None or parsed.marker is None or bool(parsed.marker.evaluate({"extra": ""}))


def _fits(requirement: str, found: str) -> bool:
    parsed = _parsed(requirement)
    return parsed is None or bool(parsed.specifier.contains(found, prereleases=True))


def _parsed(line: str) -> Any:
    try:
        from packaging.requirements import Requirement
    except ImportError:  # it comes with the libraries, and one of those may be what is missing
        return None
    return Requirement(line)


__all__ = ["examine"]
