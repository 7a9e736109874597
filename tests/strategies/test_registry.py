from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ttft_bench import registry
from ttft_bench.errors import (
    BrokenPluginError,
    ContractError,
    DuplicateNameError,
    SpecError,
    UnknownPluginError,
)
from ttft_bench.registry import Row, Spec, build_selector, entries, entry, list_selectors, parse_specs
from ttft_bench.registry.listing import probe_rows
from ttft_bench.selector import Selector, make_problem
from ttft_bench.specs import parse_value
from ttft_bench.sweep.worker import _reason

PLUGIN_SOURCE = Path(__file__).parents[1] / "plugins" / "farthest"

# --- specs ---


def test_commas_inside_brackets_do_not_split() -> None:
    assert parse_specs("hullft[max_iter=250, tol=1e-6] ,sift[lam=0.2],knn,x[f=A[b,c],g=none]") == [
        Spec("hullft", {"max_iter": 250, "tol": 1e-6}),
        Spec("sift", {"lam": 0.2}),
        Spec("knn"),
        Spec("x", {"f": "A[b,c]", "g": None}),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-3", -3), ("0.5", 0.5), ("1e-5", 1e-5), ("true", True), ("False", False), ("none", None)]
    + [(text, text) for text in ("abc", "nan", "inf", "1_000", "0x1", "1.2.3")],
)
def test_values(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "offence"),
    [
        ("", "no strategy"),
        ("  ", "no strategy"),
        ("knn,,sift", "missing"),
        ("knn,", "missing"),
        ("[lam=1]", "missing"),
        ("sift[lam=1", r"sift\[lam=1"),
        ("sift]", "never opened"),
        ("sift[lam=1]x", "after the brackets"),
        ("sift[lam]", "'lam'"),
        ("sift[lam=]", "'lam='"),
        ("sift[=1]", "'=1'"),
        ("sift[lam=1,lam=2]", "'lam' is given twice"),
        ("sift[lam=1,]", "parameter=value"),
        ("si ft", "'si ft'"),
    ],
)
def test_malformed_specs_name_the_offence(text: str, offence: str) -> None:
    with pytest.raises(SpecError, match=offence):
        parse_specs(text)


# --- building ---


@pytest.mark.parametrize(
    ("spec", "canonical"),
    [
        ("knn", "knn"),
        ("knn[]", "knn"),
        ("sift[lam=0.20]", "sift"),
        ("sift[lam=1]", "sift[lam=1.0]"),
        (" hullft[ tol = 1e-6 , max_iter=9 ]", "hullft[max_iter=9,tol=1e-06]"),
        ("exact-qp[solver=SCS]", "exact-qp[solver=SCS]"),
    ],
)
def test_repr_is_the_canonical_spec(spec: str, canonical: str) -> None:
    assert repr(build_selector(spec)) == canonical
    assert repr(build_selector(canonical)) == canonical


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sift[lamb=1]", r"no parameter 'lamb'; did you mean 'lam'\? \(it has: lam, repeats\)"),
        ("knn[k=1]", r"no parameter 'k' \(it has: order\)"),
        ("sift[lam=big]", "lam must be a number.*got 'big'"),
        ("sift[lam=true]", "lam must be a number"),
        ("hullft[max_iter=2.5]", "max_iter must be a whole number"),
        ("exact-qp[solver=3]", "solver must be text"),
        ("sift[lam=-1]", r"sift\[lam=-1\]: lam must be a number between 1e-6 and 1e4"),
        ("knn,sift", "names 2 strategies"),
    ],
)
def test_unfit_parameters_are_named(spec: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_selector(spec)


def test_an_unknown_name_offers_the_nearest_and_the_list() -> None:
    with pytest.raises(
        UnknownPluginError, match=r"'hulft'; did you mean 'hullft'\? \(installed: .*exact-qp, .*sift.*\)"
    ):
        build_selector("hulft")


def test_a_dataclass_selector_gets_its_name_though_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(Selector):
        """Two dataclasses are made of this."""

        def select(self, problem: Any, rng: Any) -> Any:
            return None

    good = dataclass(frozen=True, repr=False)(type("Good", (Plain,), {"__annotations__": {"depth": int}, "depth": 1}))
    monkeypatch.setattr(registry, "load", lambda name: good)
    assert repr(build_selector("sift[depth=3]")) == "sift[depth=3]"
    own_repr = dataclass(frozen=True)(type("OwnRepr", (Plain,), {}))
    monkeypatch.setattr(registry, "load", lambda name: own_repr)
    with pytest.raises(ContractError, match="repr=False"):
        build_selector("sift")


def test_distribution_of_a_built_in() -> None:
    assert registry.distribution_of("knn") == f"ttft-bench {entry('knn').version}"


# --- other people's plug-ins ---

SELECTOR = """
    from ttft_bench.selector import Selection, Selector
    class S(Selector):
        '''First line.

        More.'''
        {body}
        def select(self, problem, rng):
            return Selection([0] * problem.budget)
"""


def _plant(folder: Path, distribution: str, name: str, source: str, requires: str = "") -> None:
    """A distribution as pip would leave it: one module and its dist-info."""
    module = distribution.replace("-", "_")
    folder.joinpath(f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{needs}")
    info.joinpath("entry_points.txt").write_text(f"[ttft_bench.selectors]\n{name} = {module}:S\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def _row(name: str, timeout_s: float = 20.0) -> Row:
    (row,) = (row for row in list_selectors(timeout_s) if row.name == name)
    return row


def test_a_foreign_strategy_is_listed_without_being_imported(site: Path) -> None:
    body = "nested, repeats = True, False\n        def __init__(self, depth=3):\n            self.depth = depth"
    _plant(site, "good-plugin", "good", SELECTOR.format(body=body))
    row = _row("good")
    assert row == Row("good", "good-plugin", "1.0", False, nested=True, repeats=False, summary="First line.",
                      parameters={"depth": "3"})  # fmt: skip
    assert "good_plugin" not in sys.modules
    assert repr(build_selector("good[depth=4]")) == "good[depth=4]"
    assert {"exact-qp", "hullft", "knn", "random", "sift"} <= {r.name for r in list_selectors() if r.built_in}


@pytest.mark.parametrize(
    ("source", "requires", "status", "cause", "remedy"),
    [
        ("1 / 0", "", "broken", "ZeroDivisionError: division by zero", "pip install --upgrade bad-plugin"),
        ("import sys; sys.exit(0)", "", "broken", "SystemExit: 0", "tell its author"),
        ("import no_such_thing", "", "missing-requirement", "No module named 'no_such_thing'",
         "pip install no_such_thing"),
        ("import no_such_thing", "No-Such-Dist>=2", "missing-requirement", "no_such_thing",
         "pip install No-Such-Dist"),
        ("import os; os._exit(7)", "", "broken", "exit code 7", "tell its author"),
        ("S = 3", "", "broken", "not a subclass of ttft_bench.selector.Selector", "tell its author"),
        (SELECTOR.format(body="requires = ('No-Such-Dist>=2',)"), "", "missing-requirement",
         "not installed: No-Such-Dist", "pip install No-Such-Dist"),
        (SELECTOR.format(body="requires = ('No-Such-Dist')"), "", "missing-requirement",
         "not installed: No-Such-Dist", "pip install No-Such-Dist"),
        ("from ttft_bench.selector import Selector\nclass S(Selector): pass", "", "broken",
         "does not implement select", "tell its author"),
    ],
)  # fmt: skip
def test_a_broken_plug_in_is_a_row_and_harms_no_other(
    site: Path, source: str, requires: str, status: str, cause: str, remedy: str
) -> None:
    _plant(site, "bad-plugin", "bad", source, requires)
    rows = {row.name: row for row in list_selectors()}
    assert rows["bad"].status == status
    assert cause in rows["bad"].cause
    assert remedy in rows["bad"].remedy
    assert {row.status for row in rows.values() if row.built_in and not row.requires} == {"ok"}


@pytest.mark.parametrize("source", ["raise SystemExit", "import no_such_thing", "S = 3", "1 / 0"])
def test_building_a_broken_plug_in_names_it_its_distribution_and_a_remedy(site: Path, source: str) -> None:
    _plant(site, f"worse-{len(source)}", "worse", source)
    with pytest.raises(BrokenPluginError, match=rf"'worse' of worse-{len(source)} 1\.0 .*(pip install|tell)"):
        build_selector("worse")


def test_a_requirement_that_is_a_string_is_one() -> None:
    class Needy(Selector):
        requires = "no-such-dist"  # type: ignore[assignment]

        def select(self, problem: Any, rng: Any) -> Any:
            return None

    assert _reason(ImportError("no module"), Needy()) == "ImportError: no module; pip install no-such-dist"


def test_a_hanging_plug_in_costs_its_own_row_only(site: Path) -> None:
    _plant(site, "slow-plugin", "hang", "import time; time.sleep(600)")
    rows = {row.name: row for row in list_selectors(timeout_s=15.0)}
    assert rows["hang"].status == "broken"
    assert "longer than 15 s" in rows["hang"].cause
    assert {row.status for row in rows.values() if row.built_in and not row.requires} == {"ok"}


@pytest.mark.parametrize(
    ("bad", "innocent"),
    [
        (
            "import warnings; warnings.simplefilter('error')",
            "import warnings; warnings.warn('old', DeprecationWarning)",
        ),
        (
            "import os, sys; sys.addaudithook(lambda event, args: args[:1] == ('wave',) and os._exit(9))",
            "import wave",
        ),
        ("import sys; sys.modules['wave'] = None", "import wave"),
    ],
)
def test_one_plug_in_makes_no_other_look_broken(site: Path, bad: str, innocent: str) -> None:
    sound = textwrap.dedent(SELECTOR.format(body=""))
    _plant(site, "a-bad", "a-bad", f"{bad}\n{sound}")
    _plant(site, "b-innocent", "b-innocent", f"{innocent}\n{sound}")
    _plant(site, "c-broken", "c-broken", f"{innocent}\n1 / 0")
    rows = probe_rows([item for item in entries() if not item.built_in], 20.0)
    assert [(row.name, row.status) for row in rows] == [("a-bad", "ok"), ("b-innocent", "ok"), ("c-broken", "broken")]
    assert rows[2].cause == "ZeroDivisionError: division by zero"


def test_our_own_are_asked_before_any_stranger_and_never_twice(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _plant(site, "a-first", "a-first", "import os; os._exit(7)")
    children = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **options: children.append(1) or real(*words, **options))
    rows = {row.name: row for row in list_selectors()}
    assert rows["a-first"].cause == "its import ended the process (exit code 7)" and len(children) == 2
    assert list(rows) == sorted(rows)


def test_what_a_plug_in_prints_does_not_disturb_the_listing(site: Path) -> None:
    noise = "import os; print('{}'); os.write(1, b'noise\\n'); os.system('echo more')\n"
    _plant(site, "loud-plugin", "loud", noise + textwrap.dedent(SELECTOR.format(body="")))
    assert _row("loud").status == "ok"


def test_two_distributions_with_one_name_harm_only_that_name(site: Path) -> None:
    _plant(site, "rival-plugin", "knn", SELECTOR.format(body=""))
    version = entry("sift").version
    with pytest.raises(DuplicateNameError) as caught:
        build_selector("knn")
    assert f"ttft-bench {version} and rival-plugin 1.0" in str(caught.value)
    assert str(caught.value).endswith("pip uninstall rival-plugin")
    assert repr(build_selector("sift")) == "sift"
    twins = [row for row in list_selectors() if row.name == "knn"]
    assert [(row.status, row.distribution) for row in twins] == [
        ("duplicate", "ttft-bench"),
        ("duplicate", "rival-plugin"),
    ]
    assert "also offered by rival-plugin 1.0" in twins[0].cause


def _command(arguments: list[str], site: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-m", "ttft_bench", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_the_table_then_fails_on_duplicates(tmp_path: Path) -> None:
    _plant(tmp_path, "rival-plugin", "knn", SELECTOR.format(body=""))
    done = _command(["strategies"], tmp_path)
    assert done.returncode == 3, done.stderr
    assert done.stdout.count("duplicate") == 2
    assert "hullft" in done.stdout
    assert "pip uninstall rival-plugin" in done.stderr


def test_the_command_lists_a_broken_plug_in_and_succeeds(tmp_path: Path) -> None:
    _plant(tmp_path, "bad-plugin", "bad", "raise RuntimeError('\\x1b[31mred')")
    done = _command(["strategies"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "RuntimeError: \\x1b[31mred" in done.stdout
    rows = json.loads(_command(["strategies", "--json"], tmp_path).stdout)
    assert {row["name"]: row["status"] for row in rows}["bad"] == "broken"


def test_a_real_distribution_installs_is_listed_and_selects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--target", str(target), str(PLUGIN_SOURCE)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    monkeypatch.syspath_prepend(str(target))
    row = _row("farthest")
    assert (row.distribution, row.version, row.built_in, row.status) == (
        "ttft-farthest",
        "1.2.3",
        False,
        "ok",
    )
    selector = build_selector("farthest")
    problem = make_problem([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], 2)
    assert list(selector.select(problem, np.random.default_rng(0)).positions) == [2, 1]
