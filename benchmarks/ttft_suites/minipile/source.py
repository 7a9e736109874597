"""``python-code`` and ``api-docs``: functions and classes of two scientific libraries, and their docstrings.

Both come from the same files but share no text: docstrings are cut out of the code. The group is the
module, in both domains, so that a module is held out from both at once.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

from ttft_bench.corpus.documents import Document

LEAST, MOST = 300, 3000

#: Tests repeat each other, and these folders hold tables written by a parser generator.
_SKIPPED = {"tests", "_antlr"}

_Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module


def read_code(folder: Path) -> Iterator[Document]:
    """Top-level functions and classes without docstrings; a class that is too long, method by method."""
    for module, text, tree in _modules(folder):
        lines = text.splitlines()
        for node in tree.body:
            for part in _fitting(node, lines):
                yield Document(part, "python-code", module)


def read_docstrings(folder: Path) -> Iterator[Document]:
    """Docstrings of modules, classes and functions."""
    for module, _, tree in _modules(folder):
        for node in ast.walk(tree):
            if isinstance(node, _Documented):
                text = inspect.cleandoc(_docstring(node) or "").rstrip()
                if LEAST <= len(text) <= MOST:
                    yield Document(text, "api-docs", module)


def _modules(folder: Path) -> Iterator[tuple[str, str, ast.Module]]:
    for file in sorted(folder.rglob("*.py"), key=lambda file: file.relative_to(folder).as_posix()):
        inside = file.relative_to(folder)
        if _SKIPPED.isdisjoint(inside.parts):
            text = file.read_text("utf-8")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd escapes in somebody else's strings
                yield inside.with_suffix("").as_posix().replace("/", "."), text, ast.parse(text)


def _fitting(node: ast.stmt, lines: list[str]) -> Iterator[str]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    text = _without_docstrings(node, lines)
    if LEAST <= len(text) <= MOST:
        yield text
    elif len(text) > MOST and isinstance(node, ast.ClassDef):
        for member in node.body:
            yield from _fitting(member, lines)


def _without_docstrings(node: _Documented, lines: list[str]) -> str:
    """Source of a definition with its decorators, less every docstring inside."""
    decorators = [] if isinstance(node, ast.Module) else node.decorator_list
    first = min([getattr(node, "lineno", 1), *(decorator.lineno for decorator in decorators)])
    dropped: set[int] = set()
    for inner in ast.walk(node):
        if isinstance(inner, _Documented) and _docstring(inner) is not None:
            string = inner.body[0]
            dropped |= set(range(string.lineno, (string.end_lineno or string.lineno) + 1))
    last = getattr(node, "end_lineno", None) or len(lines)
    kept = [lines[number - 1] for number in range(first, last + 1) if number not in dropped]
    return textwrap.dedent("\n".join(kept)).strip("\n")


def _docstring(node: _Documented) -> str | None:
    return ast.get_docstring(node, clean=False)


__all__ = ["LEAST", "MOST", "read_code", "read_docstrings"]
