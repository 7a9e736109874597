"""The engine's benchmark runs from a source tree and keeps what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tiny import write_model
from ttft_bench.engine.compiled import Options
from ttft_bench.engine.model import load_model
from ttft_bench.engine.score import make_target, training_sequence
from ttft_bench.errors import DataError

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "engine.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=500, env=environment)


def test_whoever_offers_the_smoke_run_says_how_long_it_takes():
    for name in ("CONTRIBUTING.md", "benchmarks/README.md"):
        text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
        told = text.partition("`python benchmarks/engine.py")[2].partition("--quick`")[2].partition(". ")[0]
        assert "one to four minutes on two cores" in told, name
    assert "a smoke run, 1 to 4 minutes on two cores" in " ".join(run("--help").stdout.split())


def test_a_smoke_run_keeps_every_part_and_a_second_one_adds(tmp_path):
    base = (
        "--quick",
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--output",
        tmp_path,
        "--models",
        "tiny-gpt2",
        "--only",
    )
    done = run(*base, "published,ours")
    assert done.returncode == 0, done.stderr
    assert "| published fp32 | tiny-gpt2 |" in done.stdout
    done = run(*base, "lanes,ours,check")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "smoke.json").read_text())
    found = [(row["part"], row["what"], row.get("r") or row.get("lanes")) for row in results["rows"]]
    assert sorted(found, key=str) == sorted(
        [
            *((part, "prompt", r) for part in ("published", "ours") for r in (1, 2)),
            *((part, "step", None) for part in ("published", "ours")),
            ("check", "check", None),
            ("lanes", "lanes", 1),
            ("lanes", "lanes", 2),
        ],
        key=str,
    )
    (checked,) = [row for row in results["rows"] if row["part"] == "check"]
    assert checked["restored"] and checked["same_again"] and checked["lanes_equal"]
    assert checked["weight_difference"] < 1e-5
    for row in results["rows"]:
        assert all(value > 0 for key, value in row.items() if key.endswith("_s") and key not in ("compile_s", "part_s"))
        if row["what"] == "prompt":
            assert (row["fresh"], row["reused"]) == ((50, 0) if row["r"] == 1 else (30, 20))
    assert results["ceilings"]["gb_s"] > 0 and results["machine"]["device"] == "cpu"


def test_figures_of_another_machine_are_refused_once_and_kept(tmp_path):
    kept = (ROOT / "reports" / "engine" / "engine.json").read_text(encoding="utf-8")
    (tmp_path / "smoke.json").write_text(kept, encoding="utf-8")
    done = run("--quick", "--device", "cpu", "--output", tmp_path, "--models", "tiny-gpt2,tiny-llama", "--only", "ours")
    assert done.returncode == 2 and done.stderr.count("holds figures of NVIDIA H200") == 1 and not done.stdout
    assert (tmp_path / "smoke.json").read_text(encoding="utf-8") == kept


def test_unknown_parts_are_refused():
    done = run("--only", "sideways")
    assert done.returncode == 2 and "unknown part 'sideways'" in done.stderr


@pytest.fixture
def _benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.mark.usefixtures("_benchmarks_on_path")
def test_on_text_both_loops_give_a_prompt_the_same_score(tmp_path):
    from enginelib.natural import Prompt, _real, table
    from enginelib.shapes import SHAPES

    model = load_model(write_model(tmp_path / "m", architecture="llama", positions=1100), device="cpu")
    texts = ["the quick brown fox", "jumps over the lazy dog", "ünï"]
    items = {index: training_sequence(model, text, 64) for index, text in enumerate(texts)}
    prompts = [Prompt("letters", make_target(model, text, 64), items) for text in ("alpha beta", "gamma")]
    plan = SimpleNamespace(precision="fp32", backend="eager", options=None)
    *each, whole = _real(plan, SHAPES["tiny-llama"], model, prompts)
    assert [row["n"] for row in each] == [3, 3] and whole["n"] == 6
    assert all(row["bpb_ours"] != row["bpb_before"] for row in each)
    assert whole["bpb_difference"] == max(row["bpb_difference"] for row in each) < 1e-5
    assert whole["ratio"] == pytest.approx(whole["published_s"] / whole["ours_s"])
    assert whole["products"] == "default (no layer is large enough)" and whole["threads"] == torch.get_num_threads()
    lines = table([*each, {**whole, "model": "m", "ratio": 3.2}])
    assert len(lines) == 5 and "| 3x: met |" in lines[-1] and "| 1e-4: met |" in lines[-1]


@pytest.mark.usefixtures("_benchmarks_on_path")
def test_without_text_the_row_says_why_its_tokens_are_random(monkeypatch):
    from enginelib.natural import _read_text
    from enginelib.shapes import SHAPES

    def missing(*_, **__):
        raise DataError("the corpus cannot be fetched\nat all")

    monkeypatch.setattr("ttft_bench.sweep.prepare.prepare", missing)
    here = {"quick": False, "device": torch.device("cpu"), "note": print}
    for changes, shape, why in (
        ({}, "smollm2-135m", "the corpus cannot be fetched"),
        ({}, "gpt2", "no real weights of gpt2"),
        ({"quick": True}, "smollm2-135m", "a smoke run"),
        ({"device": torch.device("cuda")}, "smollm2-135m", "real text is read on a CPU only"),
    ):
        assert _read_text(SimpleNamespace(**{**here, **changes}), SHAPES[shape]) == (None, [], why)


@pytest.mark.usefixtures("_benchmarks_on_path")
def test_the_readme_has_the_kept_figures():
    from enginelib.readme import README, inserted

    text = README.read_text(encoding="utf-8")
    for name in ("engine", "engine_cpu", "before"):
        kept = json.loads((ROOT / "reports" / "engine" / f"{name}.json").read_text(encoding="utf-8"))
        assert inserted(text, name, kept) == text
    with pytest.raises(ValueError, match="<!-- other:begin -->"):
        inserted(text, "other", kept)


@pytest.mark.usefixtures("_benchmarks_on_path")
def test_a_mark_chooses_which_parts_are_shown():
    from enginelib.readme import inserted

    kept = json.loads((ROOT / "reports" / "engine" / "before.json").read_text(encoding="utf-8"))
    begin, end = "<!-- before:begin growth -->", "<!-- before:end -->"
    text = inserted(f"above\n{begin}\nold\n{end}\nbelow", "before", kept)
    assert text.startswith(f"above\n{begin}\n") and text.endswith(f"{end}\nbelow") and "old" not in text
    assert [line.split(" | ")[2] for line in text.splitlines() if line.startswith("| ours")] == ["128", "256", "512"]
    assert "| figure |" not in text and "| change |" not in text


NCU = """==PROF== Disconnected from process 1
"ID","Process ID","Kernel Name","gpu__time_duration.sum","sm__cycles_active.avg.pct_of_peak_sustained_elapsed",\
"sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed","dram__throughput.avg.pct_of_peak_sustained_elapsed"
"","","","nsecond","%","%","%"
"""


@pytest.mark.usefixtures("_benchmarks_on_path")
def test_kernels_of_two_depths_give_those_of_all_layers():
    import kernels

    head = NCU.replace("\\\n", "")

    def rows(layers):
        layer = [("nvjet_sm90", "4,000", 50, 20, 10), ("triton_poi_fused", "2000", 80, 0, 40)] * layers
        ends = [("triton_tem_fused_flex_attention", "6000", 30, 5, 1), ("_sums", "1000", 90, 0, 50)]
        update = [("bessel_j0_forward", "1000", 1, 0, 0), ("triton_poi_fused_adam", str(10_000 * layers), 100, 0, 90)]
        lines = (
            ",".join(f'"{value}"' for value in (number, 1, *row)) for number, row in enumerate(layer + ends + update)
        )
        return list(kernels.read(head + "\n".join(lines)))

    found = kernels.extend(rows(1), rows(2), 12)
    assert found["kinds"]["products"] == pytest.approx(
        {"launches": 12, "us": 48, "filled": 24, "multiprocessors": 50, "tensor_cores": 20, "memory": 10}
    )
    assert found["kinds"]["attention"]["launches"] == 1, "what is there once is not repeated"
    assert found["kinds"]["update"]["us"] == 120 and found["kinds"]["elementwise"]["filled"] == pytest.approx(19.2)
    assert found["kinds"]["loss and reductions"]["us"] == 1
    assert found["all"]["launches"] == 12 + 12 + 1 + 1 + 1
    assert found["all"]["us"] == pytest.approx(48 + 24 + 6 + 1 + 120)
    assert "| gpt2 | update | 1 | 120 | 100 % | 0 % | 90 % | 120 |" in kernels.markdown({"gpt2": found})


@pytest.mark.usefixtures("_benchmarks_on_path")
def test_kernels_of_ours_are_known_by_their_whole_names():
    import kernels

    named = {
        "_gradient": "products",
        "_sums": "loss and reductions",
        "triton_poi_fused_scale_gradients_0": "elementwise",
    }
    assert {name: kernels._kind(name) for name in named} == named


@pytest.mark.usefixtures("_benchmarks_on_path")
def test_the_table_of_kernels_in_the_readme_is_that_of_the_kept_figures(capsys, tmp_path):
    import kernels

    assert kernels.main(["--show"]) == 0
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert f"<!-- kernels:begin -->\n{capsys.readouterr().out}<!-- kernels:end -->" in text
    with pytest.raises(SystemExit):
        kernels.main(["--show", "--output", str(tmp_path / "none.json")])
    assert "measure them first" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        kernels.main(["--show", "--output", str(ROOT / "reports" / "engine" / "engine.json")])
    assert "holds no figures of kernels" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told_in_a_line(tmp_path):
    file = tmp_path / "file"
    file.touch()
    done = run("--only", "ours", "--quick", "--output", file)
    assert done.returncode == 2 and f"{file} cannot be made" in done.stderr and "Traceback" not in done.stderr


RIGHT = {"what": "check", "model": "tiny-gpt2", "precision": "fp32", "loss_difference": 1e-7, "update_difference": 1e-5}
RIGHT |= {"restored": True, "same_again": True, "lanes_equal": True}
FAULTS = {
    "loss_difference": (float("nan"), "losses are off by nan"),
    "update_difference": (1.0, "updates are off by 1.0e+00, more than 0.01"),
    "restored": (False, "not restored"),
    "same_again": (False, "the same prompt again"),
    "lanes_equal": (False, "another lane"),
}


@pytest.mark.usefixtures("_benchmarks_on_path")
@pytest.mark.parametrize("key", sorted(FAULTS))
def test_faults_of_a_check_are_told(key):
    from enginelib.checks import find_faults

    value, said = FAULTS[key]
    assert find_faults(RIGHT) == [] == find_faults({**RIGHT, "precision": "bf16", "update_difference": 0.1})
    (told,) = find_faults({**RIGHT, key: value})
    assert said in told


@pytest.mark.usefixtures("_benchmarks_on_path")
def test_a_check_that_finds_something_wrong_fails_its_part(tmp_path, monkeypatch, capsys):
    import engine
    from enginelib import checks
    from enginelib.plan import Plan
    from enginelib.shapes import SHAPES

    monkeypatch.setattr(checks, "find_faults", lambda row: ["lost"] if row["restored"] else [])
    plan = Plan(torch.device("cpu"), "fp32", "compiled", Options(compile=False), quick=True, note=print)
    results = {"rows": [], "machine": {"gpu": None}}
    assert not engine._measure("check", plan, SHAPES["tiny-gpt2"], results, tmp_path / "found.json")
    assert "FAILED: ArithmeticError: tiny-gpt2 fp32: lost" in capsys.readouterr().err
    assert [row["what"] for row in results["rows"]] == ["check"], "what was found is kept"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--name", "none", "--show"), "measure them first"),
        (("--device", "cuda", "--only", "ours"), "cuda"),
        (("--only", "ideas", "--ideas", "nothing"), "no idea begins with 'nothing'"),
        (("--inductor", "combo_kernels"), "NAME=VALUE"),
        (("--only", ""), "unknown part ''"),
        (("--models", ""), "unknown model ''"),
        (("--ideas", "flash,nope"), "no idea begins with 'nope'"),
        (("--name", "a/b"), "--name is that of a file in --output, got 'a/b'"),
        (("--name", "damaged", "--show"), "damaged.json holds no figures of this benchmark"),
        (("--name", "empty", "--only", "ours", "--quick"), "empty.json holds no figures of this benchmark"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(arguments, said, tmp_path):
    if "cuda" in arguments and torch.cuda.is_available():
        arguments, said = ("--device", "nowhere", "--only", "ours"), "nowhere"
    (tmp_path / "damaged.json").write_text('{"rows": [')
    (tmp_path / "empty.json").write_text('{"rows": []}')
    done = run(*arguments, "--output", tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
