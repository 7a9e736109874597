"""``ttft-bench doctor``: what is wrong is found, told with a remedy, and ends nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from documented import assert_documented
from ttft_bench import doctor
from ttft_bench.doctor import Finding, devices, diagnose, libraries, plugins, probe, storage
from ttft_bench.registry import GROUPS, Row, list_group


def _by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_problems_end_with_one_and_warnings_do_not(invoke, monkeypatch):
    found = [
        Finding("libraries", "python", detail="3.99", data={"version": "3.99"}),
        Finding("storage", "disk", "warning", "nearly full", "free some"),
    ]
    monkeypatch.setattr(doctor, "diagnose", lambda note: iter(found))
    result = invoke("doctor")
    assert result.code == 0 and "warning  disk: nearly full\n           -> free some\n" in result.out
    assert "problems: 0, warnings: 1" in result.out
    found.append(Finding("plug-ins", "strategy x", "problem", "broken", "tell its author"))
    assert "PROBLEM  strategy x: broken\n           -> tell its author" in invoke("doctor").out
    result = invoke("doctor", "--json")
    printed = json.loads(result.out)
    assert_documented("doctor", printed)
    assert result.code == 1 and (printed["ok"], printed["problems"], printed["warnings"]) == (False, 1, 1)


def test_a_check_that_fails_is_a_finding_and_not_the_last_one(monkeypatch):
    def fail():
        raise OSError("odd")

    monkeypatch.setattr("ttft_bench.doctor.sections._libraries", fail)
    monkeypatch.setattr("ttft_bench.doctor.sections._devices", lambda: [Finding("devices", "cpu")])
    monkeypatch.setattr("ttft_bench.doctor.sections._storage", lambda: [])
    monkeypatch.setattr("ttft_bench.doctor.sections._plugins", fail)
    found = list(diagnose())
    assert [finding.section for finding in found] == ["libraries", "devices", "plug-ins"]
    assert found[0].status == "problem" and "OSError: odd" in found[0].detail and found[0].remedy


def test_libraries_here_are_well(monkeypatch):
    monkeypatch.setattr(libraries, "_MODULES", {"numpy": "numpy", "rich": "rich"})  # the others take seconds
    found = _by_name(libraries.examine())
    assert {finding.status for finding in found.values()} == {"ok"}
    assert {"python", "torch", "cvxpy", "faiss-cpu", "extra exact", "extra kernels"} <= set(found)
    assert "extra dev" not in found and "pytest" not in found


def test_libraries_that_are_missing_old_or_broken(monkeypatch):
    monkeypatch.setattr(
        libraries, "requires", lambda name: ["torch>=2.4", "numpy>=99", "nothing-like-it>=1", "rich>=13"]
    )
    monkeypatch.setattr(libraries, "_MODULES", {"torch": "a_module_that_is_not_there", "rich": "neither_is_this"})
    found = _by_name(libraries.examine())
    assert [found[name].status for name in ("torch", "numpy", "nothing-like-it", "rich")] == ["problem"] * 4
    assert "cannot be imported" in found["torch"].detail and "--force-reinstall" in found["torch"].remedy
    assert found["numpy"].remedy == 'pip install "numpy>=99"' and "is needed" in found["numpy"].detail
    assert found["nothing-like-it"].detail == "not installed"
    assert "torch first" in found["rich"].remedy


def test_requirements_of_another_platform_and_of_extras_are_not_missed():
    required, optional = libraries._sorted(
        ["numpy>=1", "winonly; sys_platform == 'nowhere'", 'numba>=0.61; extra == "fast"', 'pytest; extra == "dev"']
    )
    assert required == {"numpy": "numpy>=1"} and optional == {"fast": ["numba"]}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ImportError('no libcuda')", "ImportError: no libcuda"),
        ("import os; os.abort()", "signal 6"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
    ],
)
def test_it_works_where_torch_is_broken(tmp_path, monkeypatch, body, told):
    (tmp_path / "torch.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(libraries, "_MODULES", {"torch": "torch"})
    torch = _by_name(libraries.examine())["torch"]
    assert torch.status == "problem" and told in torch.detail
    cpu, *_, accelerators = devices.examine()
    assert cpu.status == accelerators.status == "problem"
    assert told in cpu.detail and "torch" in cpu.remedy


def test_the_command_itself_imports_none_of_what_it_examines():
    code = (
        "import sys\n"
        "from ttft_bench.doctor import devices, libraries, plugins, storage\n"
        "import ttft_bench.cli\n"
        "assert not {'torch', 'transformers', 'faiss', 'cvxpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_this_processor_is_measured(monkeypatch):
    monkeypatch.setattr(probe, "_MEASURE_S", 0.01)
    facts = probe.answer({"task": "cpu"})
    assert facts["right"] and facts["threads"] >= 1
    assert min(facts[key] for key in ("fp32_gflop_per_s", "bf16_gflop_per_s", "copy_gb_per_s")) > 0
    assert devices._cpu(facts).status == "ok"
    assert devices._cpu({**facts, "right": False}).status == "problem"
    slow = devices._cpu({**facts, "threads": 64, "quota": 2.0})
    assert slow.status == "warning" and "OMP_NUM_THREADS=2" in slow.remedy


def test_accelerators(monkeypatch, tmp_path):
    speeds = {"right": True, "fp32_gflop_per_s": 5e4, "bf16_gflop_per_s": 7e5, "copy_gb_per_s": 3e3}
    card = {"device": "cuda:0", "name": "a card", "free_bytes": 2**36, "total_bytes": 2**36, **speeds}
    good, wrong, full = devices._accelerators(
        {
            "devices": [card, {**card, "right": False}, {"device": "cuda:2", "name": "", "error": "out of memory"}],
            "cuda_build": "12.8",
        }
    )
    assert (good.status, wrong.status, full.status) == ("ok", "problem", "problem")
    assert "64 GiB free of 64 GiB" in good.detail and "out of memory" in full.detail
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    (unused,) = devices._accelerators({"devices": [], "cuda_build": None})
    assert unused.status == "warning" and "built without CUDA" in unused.detail and "CUDA build" in unused.remedy
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (hidden,) = devices._accelerators({"devices": [], "cuda_build": "12.8"})
    assert hidden.status == "warning" and "CUDA_VISIBLE_DEVICES" in hidden.remedy


def test_storage_that_cannot_be_used(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for name, words in (("file", "it is a file"), ("file/below", "file is a file")):
        monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / name))
        cache = _by_name(storage.examine())["cache"]
        assert cache.status == "problem" and words in cache.detail and "TTFT_BENCH_CACHE" in cache.remedy
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr(storage, "_LEAST_BYTES", 2**80)
    found = _by_name(storage.examine())
    assert found["cache"].detail.endswith("empty") and not (tmp_path / "new").exists()
    assert found["free disk for the cache"].status == found["free disk for runs"].status == "problem"
    assert found["assets"].status == "ok" and "smollm2-135m-instruct" in found["assets"].detail


def test_a_damaged_download_is_told_with_the_command_that_mends_it(monkeypatch, tmp_path):
    from ttft_bench import assets

    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(assets, "verify", lambda name: assets.Verification(name, "damaged", ("a does not match",)))
    finding = _by_name(storage._assets())["asset all-minilm-l6-v2"]
    assert finding.status == "problem" and finding.remedy == "ttft-bench assets fetch all-minilm-l6-v2"


def test_plug_ins_of_every_group(monkeypatch):
    monkeypatch.setattr(plugins, "list_group", lambda group: list_group(group, timeout_s=240.0))
    found = _by_name(plugins.examine())
    assert set(GROUPS) <= set(found)
    assert {finding.status for finding in found.values()} == {"ok"}
    assert "hullft" in found["ttft_bench.selectors"].data["names"]
    rows = [
        Row("good", "a", "1", False),
        Row("bad", "b", "2", False, status="broken", cause="SyntaxError", remedy="tell its author"),
        Row("later", "c", "3", False, status="missing-requirement", remedy="pip install it"),
    ]
    monkeypatch.setattr(plugins, "list_group", lambda group: rows)
    monkeypatch.setattr(plugins, "GROUPS", ("ttft_bench.selectors", "ttft_bench.suites"))
    group, bad, suites, also_bad, unreadable = plugins.examine()
    assert "1 of 3 can be used" in group.detail and "later once you `pip install it`" in group.detail
    assert bad.status == "problem" and "b 2: SyntaxError" in bad.detail and bad.remedy == "tell its author"
    assert "0 of 3" in suites.detail and also_bad.name == "suite bad"
    assert unreadable.name == "suite good" and "unknown suite" in unreadable.detail
