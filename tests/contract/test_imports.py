"""Dependencies point one way, read from the source, and starting up stays light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "ttft_bench": ROOT / "ttft_bench",
    "ttft_strategies": ROOT / "strategies" / "ttft_strategies",
    "ttft_suites": ROOT / "benchmarks" / "ttft_suites",
}

#: Which modules of this project a module (or the modules of a package) may import.
REGISTRY = ("errors", "selector", "registry", "seeds", "specs", "text")
ALLOWED = {
    "errors": (),
    "specs": ("errors",),
    "selector": ("errors", "specs"),
    "registry": REGISTRY,
    "checks": (*REGISTRY, "checks"),
    "cache": ("cache", "errors", "files", "specs"),
    "doctor": ("doctor", "registry", "cache", "assets", "engine", "sweep.suite", "text"),
    "scaffold": (*REGISTRY, "scaffold"),
    "hub": (),
    "picking": ("selector", "seeds"),
    "report": ("report", "engine.choices", "sweep.store", "sweep.schema", "errors", "files", "seeds", "text", "units"),
    # It composes rooms, as a sweep does, and is no part of one.
    "lab": (*REGISTRY, "picking", "prefix", "units", "draws", "assets", "corpus", "engine", "lab"),
}
FORBIDDEN = {
    "engine": ("selector", "picking", "sweep", "corpus", "registry", "checks", "report", "lab", "cli"),
    "corpus": ("sweep", "report", "lab", "cli"),
    "sweep": ("lab", "cli"),
}


def _imports(path: Path, module: str) -> set[str]:
    """Every module that a file imports anywhere, inside functions too, as absolute dotted names."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base for alias in node.names}
    return found


def _is_module(name: str) -> bool:
    top, *rest = name.split(".")
    if top not in SOURCES:
        return False
    path = SOURCES[top].joinpath(*rest)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _modules() -> dict[str, set[str]]:
    modules = {}
    for top, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([top, *parts]).removesuffix(".__init__")
            modules[name] = _imports(path, name)
    return modules


MODULES = _modules()


def _under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == f"ttft_bench.{prefix}" or name.startswith(f"ttft_bench.{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("part", list(ALLOWED))
def test_allowed_imports(part: str) -> None:
    for module, imports in MODULES.items():
        if _under(module, (part,)):
            own = {name for name in imports if name.startswith("ttft_bench.")}
            assert {name for name in own if not _under(name, ALLOWED[part])} == set(), module


@pytest.mark.parametrize("part", list(FORBIDDEN))
def test_forbidden_imports(part: str) -> None:
    for module, imports in MODULES.items():
        if _under(module, (part,)):
            assert {name for name in imports if _under(name, FORBIDDEN[part])} == set(), module


def test_the_framework_knows_no_strategy_and_no_suite() -> None:
    for module, imports in MODULES.items():
        tops = {name.partition(".")[0] for name in imports}
        assert "click" not in tops, module  # Typer vendors it
        if module.startswith("ttft_bench"):
            assert not tops & {"ttft_strategies", "ttft_suites"}, module


def test_strategies_see_the_interface_only() -> None:
    for module, imports in MODULES.items():
        if module.startswith("ttft_strategies"):
            own = {name for name in imports if name.startswith(("ttft_bench", "ttft_suites"))}
            assert own <= {"ttft_bench.selector", "ttft_bench.errors"}, module


def test_a_report_needs_no_torch() -> None:
    for module, imports in MODULES.items():
        if _under(module, ("report",)):
            assert "torch" not in {name.partition(".")[0] for name in imports}, module


def _modules_after(arguments: list[str]) -> set[str]:
    """Names of all modules loaded once the command line has run with these arguments."""
    code = (
        "import sys, json, contextlib, io\n"
        f"sys.argv = ['ttft-bench', *{arguments!r}]\n"
        "from ttft_bench.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main()\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--help"], ["adapt", "--help"], ["verify", "--help"], ["check", "knn"]),
        *(["strategies"], ["strategies", "--json"], ["cache", "info"]),
    ],
)
def test_help_and_listing_import_neither_torch_nor_a_plug_in(arguments: list[str]) -> None:
    loaded = _modules_after(arguments)
    assert "ttft_bench.cli" in loaded
    for heavy in ("torch", "transformers", "faiss", "cvxpy", "ttft_strategies", "ttft_suites"):
        assert heavy not in loaded


def test_the_public_names_are_these_and_cost_nothing_until_used() -> None:
    code = (
        "import sys, ttft_bench\n"
        "heavy = {'torch', 'numpy', 'transformers', 'faiss'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(ttft_bench.__all__) <= set(dir(ttft_bench))\n"
        "[getattr(ttft_bench, name) for name in ttft_bench.__all__]\n"
        "print(*ttft_bench.__all__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "__version__",
        *("Lab", "Problem", "Selection", "Selector", "TtftBenchError"),
        *("build_selector", "make_problem", "selector_checks"),
    ]


def test_importing_a_built_in_needs_no_torch_and_no_cvxpy() -> None:
    code = (
        "import sys\n"
        "from ttft_bench.registry import entries, load_selector\n"
        "[load_selector(entry.name) for entry in entries() if entry.built_in]\n"
        "print(sorted({'torch', 'cvxpy', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_installed_entry_points_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group, declared in project["entry-points"].items():
        points = entry_points(group=group)
        installed = {p.name: p.value for p in points if p.dist and p.dist.name == project["name"]}
        assert installed == declared, f"entry points of {group} froze at an earlier install: run make install"
