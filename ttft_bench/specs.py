"""Specs as text: ``hullft[max_iter=250],sift[lam=0.2],knn``. Pure parsing and writing, no plug-in needed.

Strategies, trainable sets and optimizers are all named like this. ``ttft_bench.registry`` re-exports what
deals with strategies.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ttft_bench.errors import SpecError

_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Spec:
    """One thing as asked for: a name and the parameters given."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return format_spec(self.name, self.params)


def parse_specs(text: str) -> list[Spec]:
    """Parse a list of specs; commas inside brackets do not split it.

    Raises:
        SpecError: with the offending text.
    """
    if not text.strip():
        raise SpecError("no strategy given: expected a list such as 'hullft[max_iter=250],knn'")
    return [_parse_one(piece, text) for piece in _split(text)]


def parse_spec(text: str, what: str) -> Spec:
    """Parse one spec; ``what`` it names, such as "optimizer", goes into messages.

    Raises:
        SpecError: with the offending text.
    """
    pieces = _split(text)
    if len(pieces) != 1:
        raise SpecError(f"expected one {what}, got {text!r}")
    return _parse_one(text, text, what)


def format_spec(name: str, params: Mapping[str, Any]) -> str:
    """Write a spec: ``name`` alone, or ``name[a=1,b=x]`` with parameters sorted by name."""
    if not params:
        return name
    inner = ",".join(f"{key}={format_value(params[key])}" for key in sorted(params))
    return f"{name}[{inner}]"


def format_value(value: Any) -> str:
    """Write a parameter so that the registry's parser reads the same value back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else str(value)


def parse_value(text: str) -> Any:
    """Read true, false, none, an integer, a decimal number; anything else is a string."""
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known name, or nothing if none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def fit_parameters(spec: Spec, known: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Check the parameters of a spec against those of a constructor; the nearest known name is offered.

    Raises:
        SpecError: a parameter is unknown, or its value is of another type than its default.
    """
    fitted = {}
    for key, value in spec.params.items():
        if key not in known:
            listing = ", ".join(known) or "none"
            raise SpecError(f"{spec.name} has no parameter {key!r}{nearest(key, known)} (it has: {listing})")
        fitted[key] = _fit_value(spec.name, key, value, known[key].default)
    return fitted


def _fit_value(name: str, key: str, value: Any, default: Any) -> Any:
    """Check a value against the type of the default; a whole number serves as a decimal one."""
    if default is None or default is inspect.Parameter.empty or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    kind = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(type(default))
    raise SpecError(
        f"{name}: {key} must be {kind or type(default).__name__} (default {format_value(default)}), "
        f"got {format_value(value)!r}"
    )


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    pieces, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
            if depth < 0:
                raise SpecError(f"{text!r} closes a bracket that was never opened, at {text[: position + 1]!r}")
        elif character == "," and depth == 0:
            pieces.append(text[start:position])
            start = position + 1
    if depth:
        raise SpecError(f"{text[start:].strip()!r} opens a bracket that is never closed")
    return [*pieces, text[start:]]


def _parse_one(piece: str, whole: str, what: str = "strategy") -> Spec:
    piece = piece.strip()
    name, bracket, rest = piece.partition("[")
    name = name.strip()
    if not name:
        raise SpecError(f"{_a(what)} name is missing in {whole!r}")
    if not _NAME.fullmatch(name):
        raise SpecError(f"{name!r} in {whole!r} is not {_a(what)} name")
    if not bracket:
        return Spec(name)
    if not rest.endswith("]"):
        raise SpecError(f"unexpected text after the brackets of {piece!r}")
    params: dict[str, Any] = {}
    for item in _split(rest[:-1]) if rest[:-1].strip() else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not key.isidentifier() or not equals or not value:
            raise SpecError(f"{item.strip()!r} in {piece!r} is not of the form parameter=value")
        if key in params:
            raise SpecError(f"parameter {key!r} is given twice in {piece!r}")
        params[key] = parse_value(value)
    return Spec(name, params)


def _a(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


__all__ = [
    "Spec",
    "fit_parameters",
    "format_spec",
    "format_value",
    "nearest",
    "parse_spec",
    "parse_specs",
    "parse_value",
]
