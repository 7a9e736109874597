"""What `... new NAME` writes, and what it refuses to."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib.resources import files

import pytest

from ttft_bench.errors import StorageError, UsageError
from ttft_bench.scaffold import KINDS, check_name, write_distribution
from ttft_bench.scaffold.write import LAYOUT


@pytest.mark.parametrize(
    ("name", "distribution", "module", "cls"),
    [
        ("my-idea", "ttft-my-idea", "ttft_my_idea", "MyIdea"),
        ("ttft-2nd", "ttft-2nd", "ttft_2nd", "Ttft2nd"),
        ("x", "ttft-x", "ttft_x", "X"),
    ],
)
def test_one_name_in_every_spelling(name, distribution, module, cls):
    names = check_name(name, KINDS["strategy"])
    assert (names.distribution, names.module, names.cls) == (distribution, module, cls)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "cannot be the name of a strategy"),
        ("My_Idea", "try my-idea"),
        ("../../etc", "try etc"),
        ("a--b", "try a-b"),
        ("-a", "try a"),
        ("1st", "a letter first"),
        ("a" * 51, "at most 50"),
        ("ünï", "lower-case letters"),
        ("none", "the word None of Python"),
        ("new", "choose another"),
        ("knn", "is there already, from ttft-bench"),
    ],
)
def test_names_that_cannot_be(name, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        write_distribution("strategy", name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["bench", "ttft-bench", "strategies", "suites"])
def test_nothing_is_written_that_would_replace_a_part_of_ttft_bench(kind, name, tmp_path):
    with pytest.raises(UsageError, match=f"a part of ttft-bench.*try my-{name.removeprefix('ttft-')}$"):
        write_distribution(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["strategy", "embedder"])
@pytest.mark.parametrize("name", ["path", "problem", "selection", "selector", "value-error"])
def test_no_class_hides_what_its_own_body_needs(kind, name, tmp_path):
    with pytest.raises(UsageError, match=f"hides what the plug-in needs of that name; try my-{name}"):
        write_distribution(kind, name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_every_name_that_a_template_imports_is_refused():
    for kind, group in KINDS.items():
        source = (files("ttft_bench.scaffold") / "templates" / kind / "module.py.j2").read_text()
        tree = ast.parse(source.replace("{{ names.cls }}", "X"))
        imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
        for name in imported if kind != "suite" else ():
            with pytest.raises(UsageError, match=f"its class would be {name}"):
                check_name(name.lower(), group)


def test_names_are_taken_within_their_kind_only(tmp_path):
    assert write_distribution("suite", "knn", tmp_path).is_dir()
    with pytest.raises(UsageError, match="suite 'quick' is there already"):
        write_distribution("suite", "quick", tmp_path)
    with pytest.raises(UsageError, match="embedder 'hashed-words' is there already"):
        write_distribution("embedder", "hashed-words", tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_whole(kind, tmp_path):
    folder = write_distribution(kind, "my-idea", tmp_path / "made" / "here")
    texts = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert set(texts) == {place.format(module="ttft_my_idea", name="my-idea") for place in LAYOUT[kind].values()}
    assert {".gitignore", ".github/workflows/ci.yml", "README.md", "pyproject.toml"} < set(texts)
    assert not any(mark in text for text in texts.values() for mark in ("{{", "}}"))
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    assert project["entry-points"][KINDS[kind]].keys() == {"my-idea"}
    for name, text in texts.items():
        if name.endswith(".py"):
            compile(text, name, "exec")


def test_what_is_there_is_left_as_it_is(tmp_path):
    kept = tmp_path / "my-idea" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(UsageError, match="exists and is left as it is"):
        write_distribution("strategy", "my-idea", tmp_path)
    assert kept.read_text() == "mine" and len(list(kept.parent.iterdir())) == 1
    (tmp_path / "other").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists"):
        write_distribution("strategy", "other", tmp_path)
    with pytest.raises(UsageError, match=r"notes\.txt exists"):
        write_distribution("strategy", "third", kept)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    from pathlib import Path

    real, calls = Path.write_text, []

    def fail(self, *arguments, **options):
        calls.append(self)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fail)
        with pytest.raises(StorageError, match="No space left on device"):
            write_distribution("strategy", "my-idea", tmp_path)
    assert len(calls) == 3 and not list(tmp_path.iterdir())


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    from ttft_bench import cli

    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["ttft-bench", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def test_the_command_says_what_comes_next(command, tmp_path):
    code, out, _ = command("strategies", "new", "my-idea")
    assert code == 0 and "pip install -e my-idea" in out and "ttft-bench check my-idea" in out
    code, out, _ = command("suites", "new", "a-suite", "--output", "with space", "--json")
    told = json.loads(out)
    assert code == 0 and told["next"][0] == "pip install -e 'with space/a-suite'"
    assert all((tmp_path / told["folder"] / name).is_file() for name in told["files"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("strategies", "new"), "the name is missing"),
        (("strategies", "new", "a", "b"), "got 2 names"),
        (("strategies", "old", "a"), "takes `new NAME`, got 'old a'"),
        (("suites", "quick", "paper-main"), "takes one name, or `new NAME`"),
        (("suites", "quick", "--output", "here"), "--output goes with `new NAME`"),
        (("embedders", "x"), "takes `new NAME`"),
    ],
)
def test_half_a_request_is_refused(command, words, message, tmp_path):
    code, out, err = command(*words)
    assert code == 2 and message in " ".join(err.split()) and not out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x", "my-idea", "a-name-that-is-longer-than-most-people-type"])
@pytest.mark.parametrize("kind", KINDS)
def test_comments_of_commands_stand_in_one_column(kind, name, tmp_path):
    readme = (write_distribution(kind, name, tmp_path) / "README.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0].splitlines() for block in readme.split("```sh\n")[1:]]
    assert blocks[0][0].startswith("pip install") and blocks[0][-1].startswith("pytest")
    for block in blocks:
        assert len({line.index("  # ") + 2 for line in block if "  # " in line} or {0}) == 1, block
        assert all(line == line.rstrip() and line for line in block)


def test_the_readme_points_to_what_its_reader_has(tmp_path):
    readme = (write_distribution("strategy", "my-idea", tmp_path) / "README.md").read_text(encoding="utf-8")
    assert "ttft_bench/" not in readme, "no checkout is at hand"
    command = next(line for line in readme.splitlines() if "pydoc" in line).split()
    done = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "class Problem" in done.stdout and "def select(self, problem" in done.stdout
