"""What every built-in strategy is, costs and is for, from its class."""

from __future__ import annotations

from docstrings import cell, marked, paragraphs, sentence
from ttft_bench.registry import entries, load_selector
from ttft_bench.selector import Selector, format_value

#: What the flags of a class mean, in a table.
_CLAIMS = {"nested": "nested", "adaptive": "adaptive", "repeats": "repeats", "stochastic": "random"}


def _built_in() -> list[tuple[str, str, type[Selector]]]:
    found = [(item.name, item.value, load_selector(item.name)) for item in entries() if item.built_in]
    return sorted(found, key=lambda item: item[0])


def overview() -> str:
    """A table of all of them."""
    lines = [
        "| strategy | what it picks | what it optimises | use it | cost per prompt | claims |",
        "|---|---|---|---|---|---|",
    ]
    for name, _, cls in _built_in():
        summary = paragraphs(cls)[0].rstrip(".")
        objective = marked(cls, "Objective:", "$")
        use = marked(cls, "Use it ", r"\.(?= [A-Z]|$)")
        cost = marked(cls, "Cost:", r"\.? Use it |\.(?= [A-Z])").rstrip(".")
        claims = ", ".join(word for flag, word in _CLAIMS.items() if getattr(cls, flag) is True)
        cells = (f"[`{name}`](#{name})", sentence(summary), sentence(objective), sentence(use), sentence(cost), claims)
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    return "\n".join(lines)


def in_full() -> str:
    """A section for each, with its parameters; the docstring is put in when the site is built."""
    parts = []
    for name, value, cls in _built_in():
        defaults = [f"{key}={format_value(item.default)}" for key, item in cls.parameters().items()]
        spec = f"{name}[{','.join(defaults)}]" if defaults else name
        needs = f" Needs `{'`, `'.join(cls.requires)}`." if cls.requires else ""
        place = value.replace(":", ".")
        options = "    options: { show_root_heading: false, show_root_toc_entry: false, members: false }"
        parts.append(f"### {name}\n\nWith its defaults: `{spec}`.{needs}\n\n::: {place}\n{options}")
    return "\n\n".join(parts)
