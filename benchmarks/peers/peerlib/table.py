"""The table of ratios, as text for people and for the README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peerlib.record import GPU_COLUMN

BEGIN, END = "<!-- ratios:begin -->", "<!-- ratios:end -->"


def markdown(results: dict[str, Any]) -> str:
    """The table, what is missing from it, and how time grows."""
    lines = [
        "| against | at | ours | road | theirs | ours takes | floor | ratio (p20-p80) | target | | same or better |",
        "|---|---|---|---|---:|---:|---:|---:|---:|---|---|",
    ]
    lines += [_line(row) for row in all_rows(results)]
    lines += ["", _circumstances(results)]
    for run in results.get("elsewhere", []):
        lines += ["", _elsewhere(run)]
    for item in results["missing"]:
        if item["column"] == GPU_COLUMN and results.get("elsewhere"):
            continue
        lines += ["", f"Not measured here: {item['column']}. To have it: {item['install']}."]
    if results["growth"]:
        lines += ["", *_growth(results["growth"])]
    return "\n".join(lines) + "\n"


def all_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows measured here, then those merged from other machines, which name them."""
    rows = list(results["rows"])
    for run in results.get("elsewhere", []):
        rows += [{**row, "road": f"{row['road']}, on {run['device']['name']}"} for row in run["rows"]]
    return rows


def merged(results: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Results with the rows of select_many that were measured on another machine's GPU.

    An earlier run on a GPU of that name is replaced.

    Raises:
        ValueError: the other results are of no GPU, or of another schema.
    """
    if other["schema_version"] != results["schema_version"]:
        raise ValueError("the files have different schema versions: measure again")
    if not other.get("device"):
        raise ValueError("no GPU was measured there: run with --only many --device cuda")
    kept = ("command", "machine", "device", "bandwidth_gb_s", "repetitions", "pools")
    run = {key: other[key] for key in kept}
    run["rows"] = [row for row in other["rows"] if row["against"] == "a loop over select" and "torch" in row["road"]]
    before = [one for one in results.get("elsewhere", []) if one["device"]["name"] != run["device"]["name"]]
    return {**results, "elsewhere": [*before, run]}


def _elsewhere(run: dict[str, Any]) -> str:
    where, device = run["machine"], run["device"]
    text = (
        f"On {device['name']} ({device['memory_gib']} GiB, CUDA {device['cuda']}, triton {device['triton']}), host "
        f"{where['processor']} ({where['cores']} cores), numpy {where['versions']['numpy']}, numba "
        f"{where['versions']['numba']}, torch {where['versions']['torch']}: the loop is on one thread of that host; a "
        "batch also uses threads that gather the pools. Times of a batch are means over ten in a row. The floor is to "
        f"send the float32 pool over the bus, at the {device['bus_gb_s']:.1f} GB/s that pinned memory reaches."
    )
    for spec, stages in device.get("stages_us", {}).items():
        shares = ", ".join(f"{name} {us:.2f}" for name, us in stages.items())
        text += f" Stages of `{spec}` one after another, in microseconds a prompt: {shares}."
    return text


def _line(row: dict[str, Any]) -> str:
    between = "" if row["ratio_p20"] is None else f" ({_ratio(row['ratio_p20'])}-{_ratio(row['ratio_p80'])})"
    target = "" if row["target"] is None else f"{row['target']:g}"
    cells = [
        row["against"],
        row["at"],
        f"`{row['ours']}`" + (f"; {row['note']}" if row["note"] else ""),
        row["road"],
        _time(row["peer_us"]),
        _time(row["ours_us"]),
        f"{row['floor_us']:,.0f} µs ({row['ours_us'] / row['floor_us']:,.0f}x)",
        f"**{_ratio(row['ratio'])}**{between}",
        target,
        row["verdict"],
        row["quality"],
    ]
    return "| " + " | ".join(cells) + " |"


def _circumstances(results: dict[str, Any]) -> str:
    where, pools = results["machine"], results["pools"]
    versions = ", ".join(
        f"{name} {version}" for name, version in where["versions"].items() if version != "not installed"
    )
    return (
        f"One thread of {where['processor']} ({where['cores']} cores, load {where['load_at_start']} at the start); "
        f"{versions}. Medians over pools of K = {pools['k']} unless said otherwise, up to {results['repetitions']} "
        f"interleaved repetitions; {pools['documents']:,} documents and {pools['prompts']} prompts of the "
        f"{pools['corpus']}. "
        f"{pools['lifted']}. The floor is to read the float32 pool once, at the {results['bandwidth_gb_s']:.1f} GB/s "
        "that one thread reaches here; beside it stands how many times that ours takes."
    )


def _growth(growth: dict[str, Any]) -> list[str]:
    lines = [
        f"How time grows, at N = 50 and at K = 1,000; ours with {growth['road']}. Slopes are those of the logarithms, "
        "between neighbours.",
        "",
        "| grows with | method | at | microseconds | slopes | why |",
        "|---|---|---|---|---|---|",
    ]
    for item in growth["slopes"]:
        own = [p for p in growth["points"] if p["axis"] == item["axis"] and p["method"] == item["method"]]
        times = ", ".join(f"{point['us']:,.0f}" for point in own)
        lines.append(
            f"| {item['axis']} | `{item['method']}` | {', '.join(f'{n:,}' for n in item['between'])} | "
            f"{times} | "
            f"{', '.join(f'{slope:.2f}' for slope in item['slopes'])} | {item['reason']} |"
        )
    return lines


def _time(us: float) -> str:
    return f"{us:,.0f} µs" if us < 10_000 else f"{us / 1e3:,.0f} ms"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x" if ratio < 100 else f"{ratio:,.0f}x"


def rewrite(readme: Path, results: dict[str, Any]) -> None:
    """Put the table between the markers.

    Raises:
        ValueError: the file has no markers.
    """
    readme.write_text(inserted(readme.read_text(encoding="utf-8"), results), encoding="utf-8")


def inserted(text: str, results: dict[str, Any]) -> str:
    """The README's text with the table between its markers.

    Raises:
        ValueError: there are no markers.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} ... {END} to write between")
    return f"{head}{BEGIN}\n{markdown(results)}{END}{tail}"
