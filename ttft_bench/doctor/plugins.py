"""Every group of plug-ins: what can be used, and what is broken."""

from __future__ import annotations

from collections.abc import Iterator

from ttft_bench.doctor.finding import Finding
from ttft_bench.registry import GROUPS, SUITES, Row, kind_of, list_group

SECTION = "plug-ins"
#: What can be used once something more is installed is no fault.
_USABLE = ("ok", "missing-requirement")


def examine() -> Iterator[Finding]:
    """One finding for each group, and one for each plug-in that is broken."""
    for group in GROUPS:
        rows = list_group(group)
        broken = [_broken(group, row) for row in rows if row.status not in _USABLE]
        broken += _unreadable(rows) if group == SUITES else []
        yield _group(group, rows, len(broken))
        yield from broken


def _group(group: str, rows: list[Row], broken: int) -> Finding:
    lacking = [row for row in rows if row.status == "missing-requirement"]
    sources = sorted({f"{row.distribution} {row.version}" for row in rows})
    told = f"{len(rows) - len(lacking) - broken} of {len(rows)} can be used, from {', '.join(sources) or 'nothing'}"
    told += "".join(f"; {row.name} once you `{row.remedy.removeprefix('try: ')}`" for row in lacking)
    return Finding(SECTION, group, detail=told, data={"names": [row.name for row in rows if row.status == "ok"]})


def _broken(group: str, row: Row) -> Finding:
    source = f"{row.distribution} {row.version}"
    name = f"{kind_of(group)} {row.name}"
    return Finding(SECTION, name, "problem", f"{row.status}, from {source}: {row.cause}", row.remedy)


def _unreadable(rows: list[Row]) -> list[Finding]:
    """Suites that were imported well but whose file cannot be used."""
    from ttft_bench.sweep.suite import load_suite

    found = []
    for row in rows:
        if row.status == "ok":
            try:
                load_suite(row.name)
            except Exception as error:  # a stranger's function may raise anything
                source = f"{row.distribution} {row.version}"
                remedy = f"update it (pip install --upgrade {row.distribution}) or tell its author"
                found.append(Finding(SECTION, f"suite {row.name}", "problem", f"from {source}: {error}", remedy))
    return found


__all__ = ["examine"]
