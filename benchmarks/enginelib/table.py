"""The figures as Markdown: targets with met or missed, and what was achieved against the two ceilings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from enginelib.natural import table as natural_table

Row = dict[str, Any]


def markdown(results: dict[str, Any]) -> str:
    """All tables."""
    rows = [row for row in results["rows"] if "error" not in row]
    ceilings = results.get("ceilings", {})
    targets = [f"| {name} | {value} | {target} | {verdict} |" for name, value, target, verdict in _targets(rows)]
    heads = ["| figure | measured | target | |", "|---|---:|---:|---|"] if targets else []
    tables = [[*heads, *targets], _steps(rows, ceilings), natural_table(rows), _checks(rows), _lanes(rows)]
    tables += [_gradients(rows), _narrow(rows, ceilings), _ideas(results["rows"])]
    return "\n\n".join("\n".join(table) for table in tables)


def find(rows: list[Row], **wanted: Any) -> Row | None:
    """The last row with these values."""
    matching = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    return matching[-1] if matching else None


def _targets(rows: list[Row]) -> Iterator[tuple[str, str, str, str]]:
    for model, tokens, key, name, target, stretch in (
        ("gpt2", 1024, "fresh_s", "fresh step", 5.0, 4.0),
        ("gpt2", 1024, "reused_s", "reused step", 1.1, None),
        ("gpt2", 1024, "restore_s", "restore", 0.5, None),
        ("smollm2-135m", 512, "fresh_s", "fresh step", 7.0, 5.0),
    ):
        row = find(rows, who="ours", what="step", model=model, tokens=tokens)
        if row:
            ms = 1e3 * row[key]
            aim = f"{target:g} ms" + (f", stretch {stretch:g}" if stretch else "")
            verdict = "stretch met" if stretch and ms <= stretch else "met" if ms <= target else "missed"
            yield f"{model} at {tokens} tokens: {name}", f"{ms:.2f} ms", aim, verdict
    mine = find(rows, who="ours", what="prompt", model="gpt2", r=2)
    if mine:
        taken = mine["prompt_s"]
        yield "gpt2, whole prompt, 30 fresh and 20 reused", f"{taken:.3f} s", "0.18 s", _met(taken <= 0.18)
        for r, factor, name in ((2, 8, "under the same schedule"), (1, 12, "at its r = 1")):
            theirs = find(rows, who="published", what="prompt", model="gpt2", r=r)
            if theirs:
                ratio = theirs["prompt_s"] / taken
                what = f"the published loop {name} ({theirs['prompt_s']:.2f} s)"
                yield what, f"{ratio:.1f}x", f"{factor}x", _met(ratio >= factor)
    alone = [find(rows, who=who, what="prompt", model="gpt2", r=1) for who in ("published", "ours")]
    if alone[0] and alone[1]:
        theirs, ours = (row["prompt_s"] for row in alone if row)
        what = f"the published loop ({theirs:.2f} s) and ours ({ours:.3f} s), both at r = 1"
        yield what, f"{theirs / ours:.1f}x", "", "reported"
    for row in rows:
        if row.get("what") == "natural" and not row["model"].startswith("tiny"):
            aim, ok = ("3x", row["ratio"] >= 3) if row.get("gpu") is None else ("", None)
            what = f"{row['model']}, {row['n']} documents of natural length, against the published loop"
            yield what, f"{row['ratio']:.1f}x", aim, "reported" if ok is None else _met(ok)
    one = find(rows, what="lanes", model="smollm2-135m", lanes=1)
    four = find(rows, what="lanes", model="smollm2-135m", lanes=4)
    if one and four:
        ratio = one["amortised_s"] / four["amortised_s"]
        yield "smollm2-135m, throughput of 4 lanes", f"{ratio:.2f}x", "1.6x", _met(ratio >= 1.6)


def _met(yes: bool) -> str:
    return "met" if yes else "missed"


def _steps(rows: list[Row], ceilings: dict[str, float]) -> list[str]:
    lines = [
        "| who | model | tokens | fresh ms | gradient ms | reused ms | restore ms | TFLOP/s | of ceiling | GB/s of the "
        "update | of ceiling | peak MiB | compile s |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if "fresh_s" not in row or row.get("what") == "ideas":
            continue
        gradient = row.get("gradient_s")
        rate = row["operations"] / gradient / 1e12 if gradient else None
        flow = row["update_bytes"] / row["reused_s"] / 1e9 if gradient else None
        lines.append(
            f"| {row['who']} {row['precision']} | {row['model']} | {row['tokens']} | {_ms(row['fresh_s'])} | "
            f"{_ms(gradient)} | {_ms(row['reused_s'])} | {_ms(row['restore_s'])} | {_number(rate)} | "
            f"{_share(rate, ceilings.get(row['precision'] + '_tflop_s'))} | {_number(flow)} | "
            f"{_share(flow, ceilings.get('gb_s'))} | {_number(row.get('peak_mib'))} | {_number(row.get('compile_s'))} |"
        )
    return lines if len(lines) > 2 else []


def _checks(rows: list[Row]) -> list[str]:
    lines = [
        "| checked | loss off by | weights off by | update off by | restored | same bits again | in every lane |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for row in rows:
        if row.get("what") == "check":
            figures = (f"{row[key]:.1e}" for key in ("loss_difference", "weight_difference", "update_difference"))
            verdicts = ("yes" if row[key] else "NO" for key in ("restored", "same_again", "lanes_equal"))
            name = f"{row['model']} {row['precision']} {row['backend']}"
            lines.append(f"| {name} | {' | '.join(figures)} | {' | '.join(verdicts)} |")
    return lines if len(lines) > 2 else []


def _lanes(rows: list[Row]) -> list[str]:
    lines = [
        "| model | tokens | lanes | ms a step, amortised | throughput | MiB, as their share of all that were open |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row.get("what") == "lanes":
            one = find(rows, what="lanes", model=row["model"], lanes=1)
            gain = one["amortised_s"] / row["amortised_s"] if one else 1.0
            lines.append(
                f"| {row['model']} | {row['tokens']} | {row['lanes']} | {_ms(row['amortised_s'])} | {gain:.2f}x | "
                f"{_number(row.get('peak_mib'))} |"
            )
    return lines if len(lines) > 2 else []


def _gradients(rows: list[Row]) -> list[str]:
    lines = [
        "| model | gradient | PyTorch's, alone, µs | ours | four at once | ours | beside an update | ours |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    found = [row for row in rows if row.get("what") == "gradients"]
    for row in found:
        if row["who"] == "library":
            same = {"model": row["model"], "of": row["of"], "what": "gradients"}
            ours = find(found, who="ours", **same) or {}
            cells = [one.get(key) for key in ("alone_s", "at_once_s", "beside_s") for one in (row, ours)]
            nothing = "left to it" if not ours else "–"
            shown = " | ".join(nothing if cell is None else f"{1e6 * cell:.2f}" for cell in cells)
            lines.append(f"| {row['model']} | {row['of']} | {shown} |")
    return lines if len(lines) > 2 else []


def _narrow(rows: list[Row], ceilings: dict[str, float]) -> list[str]:
    lines = ["| thread blocks of an update by itself | GB/s | of ceiling |", "|---|---:|---:|"]
    for row in rows:
        if row.get("what") == "narrow":
            blocks = row["blocks"] or "as many as there can be"
            lines.append(f"| {blocks} | {_number(row['gb_s'])} | {_share(row['gb_s'], ceilings.get('gb_s'))} |")
    return lines if len(lines) > 2 else []


def _ideas(rows: list[Row]) -> list[str]:
    lines = ["| model | change | fresh ms | gradient ms | reused ms | compile s |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        if row.get("what") == "ideas" and "error" in row:
            lines.append(f"| {row['model']} | {row['idea']} | {row['error'].splitlines()[0][:120]} | | | |")
        elif row.get("what") == "ideas":
            name = (
                row["idea"] if row["backend"] == "compiled" or row["idea"] == "eager" else f"{row['idea']} (fell back)"
            )
            lines.append(
                f"| {row['model']} | {name} | {_ms(row['fresh_s'])} | {_ms(row['gradient_s'])} | "
                f"{_ms(row['reused_s'])} | {_number(row['compile_s'])} |"
            )
    return lines if len(lines) > 2 else []


def _ms(value: float | None) -> str:
    return "" if value is None else f"{1e3 * value:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _share(value: float | None, ceiling: float | None) -> str:
    return "" if value is None or not ceiling else f"{100 * value / ceiling:.0f} %"
