"""What holds for every command: what is said where, how an end looks to a shell, and what shells complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import typer

from documented import assert_documented
from ttft_bench.cli import app, console, everywhere
from ttft_bench.cli.console import Level, note, print_json, progress_bar, set_level, tell
from ttft_bench.cli.progress import ConsoleReporter
from ttft_bench.cli.tables import show_table
from ttft_bench.errors import CorpusError

MAIN = [sys.executable, "-m", "ttft_bench"]


@pytest.fixture(autouse=True)
def usual_level():
    yield
    set_level(Level.NORMAL)


@pytest.fixture
def ends(monkeypatch, capsys, tmp_path):
    """Run something as the command line would, and return its exit code and what it said on stderr."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run(work, level=Level.NORMAL):
        def app():
            set_level(level)
            work()

        code = everywhere.run_app(app)
        return code, capsys.readouterr().err

    return run


def _raise(error):
    raise error


def test_quiet_drops_progress_but_neither_warnings_nor_what_must_be_known(capsys):
    set_level(Level.QUIET)
    note("progress")
    note("warning: odd")
    tell("interrupted")
    assert progress_bar().disable
    assert capsys.readouterr().err == "warning: odd\ninterrupted\n"


def test_verbose_adds_times(capsys):
    set_level(Level.VERBOSE)
    note("progress")
    assert capsys.readouterr().err.strip().endswith(" s] progress")
    assert console.verbose()


def test_the_flags_reach_the_command(invoke):
    assert "cache: " in invoke("assets", "list").err
    assert invoke("assets", "list", "--quiet").err == ""
    assert " s] cache: " in invoke("assets", "list", "-v").err
    both = invoke("assets", "list", "-q", "-v")
    assert both.code == 2 and "exclude each other" in both.err
    wrong = invoke("suites", "nothing-like-it", "-q")
    assert wrong.code == 2 and wrong.err.startswith("error: ") and "Traceback" not in wrong.err
    assert "Traceback" in invoke("suites", "nothing-like-it", "-v").err


def test_json_is_strict_and_ascii(capsys):
    print_json({"nan": float("nan"), "list": [float("inf"), (1, 2)], "text": "ünï \x7f\x1b", "path": Path("a")})
    printed = capsys.readouterr().out
    assert printed.isascii() and "\x7f" not in printed and "\x1b" not in printed
    found = json.loads(printed, parse_constant=lambda name: pytest.fail(name))
    assert found == {"nan": None, "list": [None, [1, 2]], "text": "ünï \x7f\x1b", "path": "a"}


def test_an_unforeseen_error_is_one_line_and_its_traceback_is_kept(ends, tmp_path):
    code, said = ends(lambda: _raise(ValueError("two\nlines")))
    assert code == 70 and said.count("\n") == 1
    assert "ValueError: two lines" in said and "please report it" in said
    (kept,) = tmp_path.glob("ttft-bench-*.txt")
    assert str(kept) in said and "Traceback" in kept.read_text() and "two\nlines" in kept.read_text()
    code, said = ends(lambda: _raise(ValueError("seen")), Level.VERBOSE)
    assert code == 70 and "Traceback" in said and len(list(tmp_path.glob("ttft-bench-*.txt"))) == 1


def test_a_traceback_steers_no_terminal(ends):
    code, said = ends(lambda: _raise(CorpusError("evil\x1b[31m.jsonl\r\nsecond\u202e line")), Level.VERBOSE)
    lines = said.splitlines()
    assert code == 4 and not {"\x1b", "\r", "\u202e"} & set(said)
    assert lines[0] == "Traceback (most recent call last):" and lines[1].startswith('  File "')
    assert "evil\\x1b[31m.jsonl " in said and "second\\u202e line" in lines


def test_a_library_that_cannot_be_imported_leads_to_the_doctor(ends):
    code, said = ends(lambda: _raise(ModuleNotFoundError("No module named 'torch'", name="torch")))
    assert code == 3 and "No module named 'torch'" in said and "ttft-bench doctor" in said


def test_a_file_that_the_system_refuses_is_named(ends, tmp_path):
    code, said = ends(lambda: (tmp_path / "nothing" / "here").read_text())
    assert code == 4 and str(tmp_path / "nothing" / "here") in said and "No such file" in said


def test_a_python_warning_is_one_line_on_stderr(ends):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, said = ends(lambda: warnings.warn("slow\nroad", RuntimeWarning, stacklevel=1))
    assert code == 0 and said == "warning: slow road\n"


def test_an_interrupt_ends_with_130(invoke, monkeypatch):
    monkeypatch.setattr("ttft_bench.sweep.catalogue.list_suites", lambda: _raise(KeyboardInterrupt()))
    found = invoke("suites")
    assert found.code == 130 and found.err == "interrupted"


def _in_child(code: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.mark.parametrize("printing", ["print_json(list(range(100_000)))", "stdout().print('x\\n' * 100_000)"])
def test_a_reader_that_goes_away_ends_it_quietly(printing):
    code = f"""
        import sys
        from ttft_bench.cli.console import print_json, stdout
        from ttft_bench.cli.everywhere import run_app
        sys.exit(run_app(lambda: {printing}))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    # Unbuffered, Python itself overlooks the part of a write that found no reader.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=buffered) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert (child.stderr.read(), child.wait()) == ("", 141)


def test_a_small_output_without_a_reader_is_quiet_too():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*MAIN, "schema", "--json"], stdout=writing, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(writing)
    assert (done.stderr, done.returncode) == (b"", 141)


def test_an_encoding_that_lacks_a_character_ends_nothing():
    code = """
        import sys
        from ttft_bench.cli.console import stdout, tell
        from ttft_bench.cli.everywhere import run_app
        def say():
            stdout().print("5 µs")
            tell("5 µs")
        sys.exit(run_app(say))
    """
    done = _in_child(code, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "5 ?s\n", "5 ?s\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("changes", "coloured", "barred"),
    [({}, True, True), ({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False)],
)
def test_colours_and_bars_are_for_terminals_that_want_them(changes, coloured, barred):
    import pty

    code = """
        from ttft_bench.cli.console import progress_bar, stderr
        print("BARRED" if not progress_bar().disable else "PLAIN", flush=True)
        stderr().print("error", style="red")
    """
    asked = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    usual = {name: value for name, value in os.environ.items() if name not in asked}
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**usual, "TERM": "xterm-256color", **changes},
        timeout=120,
        check=True,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other side is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert (b"BARRED" in said) == barred
    assert (b"\x1b[31m" in said) == coloured


def _completions(line: str, cwd: Path) -> list[str]:
    words = line.split(" ")
    environment = {
        **os.environ,
        "_TTFT_BENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = (
        "import sys; sys.argv = ['ttft-bench']\n"
        "from ttft_bench.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers', 'ttft_strategies'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_shells_complete_names_without_importing_what_they_name(tmp_path):
    run = tmp_path / "runs" / "b_run"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    (tmp_path / "runs" / "a_folder").mkdir()
    assert _completions("ttft-bench sweep --strategies hullft,sif", tmp_path)[0] == "hullft,sift"
    assert _completions("ttft-bench sweep --strategies sift[la", tmp_path) == []
    assert "ablate-pool" in _completions("ttft-bench suites abl", tmp_path)
    assert _completions("ttft-bench report runs/", tmp_path) == ["runs/b_run", "runs/a_folder"]
    assert _completions("ttft-bench sweep --corpus min", tmp_path) == ["minipile"]
    assert _completions("ttft-bench assets fetch smol", tmp_path) == ["smollm2-135m-instruct"]
    assert _completions("ttft-bench cache clear ind", tmp_path) == ["indexes"]
    assert _completions("ttft-bench doc", tmp_path) == ["doctor"]


def _command_names(command, name):
    yield name
    for child, found in getattr(command, "commands", {}).items():
        yield from _command_names(found, f"{name} {child}")


def test_every_usage_line_reads_alike_however_it_was_started(invoke, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    names = list(_command_names(typer.main.get_command(app), "ttft-bench"))
    assert len(names) > 25 and "ttft-bench cache clear" in names
    for name in names:
        helped = invoke(*name.split()[1:], "--help")
        usage = next(line for line in helped.out.splitlines() if "Usage:" in line)
        assert usage.split("Usage: ")[1].startswith(f"{name} [OPTIONS]"), usage
        assert "[[" not in usage, "brackets of what may be left out are typer's business"
    wrong = invoke("cache", "clear", "--no-such-flag")
    assert wrong.code == 2 and wrong.err.startswith("Usage: ttft-bench cache clear [OPTIONS] {kind}...")
    done = subprocess.run([*MAIN, "cache", "clear", "-h"], capture_output=True, text=True, timeout=120, check=False)
    assert "Usage: ttft-bench cache clear [OPTIONS] {kind}..." in done.stdout


def test_the_json_of_listings_is_as_described(invoke):
    for command in (["strategies"], ["suites"], ["schema"], ["check", "knn"], ["assets", "list"]):
        result = invoke(*command, "--json")
        assert result.code == 0, command
        name = " ".join(command) if command[0] == "assets" else command[0]
        assert_documented(name, json.loads(result.out))


def _wide_table():
    from rich.table import Table

    table = Table(box=None, caption="a caption")
    for title in ("name", "95 %\ninterval", "what it is"):
        table.add_column(title, overflow="fold")
    table.add_row("a-name-of-some-length", "1.00–2.00", "words " * 60)
    table.add_row("another-name", "", "few")
    return table


def test_a_row_is_one_line_where_it_is_searched(capsys):
    show_table(_wide_table())
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "a-name-of-some-length" in line and line.count("words") == 60]) == 1


def test_a_narrow_terminal_loses_no_cell(capsys, monkeypatch):
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    for width, as_table in ((100, True), (30, False)):
        monkeypatch.setenv("COLUMNS", str(width))
        show_table(_wide_table())
        shown = capsys.readouterr().out
        assert "a-name-of-some-length" in shown and shown.count("words") == 60 and "a caption" in shown
        assert ("95 % interval: 1.00–2.00" in " ".join(shown.split())) != as_table
        assert ("interval: ;" in shown) is False


def test_a_long_stage_says_how_far_it_is_where_there_are_no_bars(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("ttft_bench.cli.progress.time.perf_counter", lambda: now[0])
    with ConsoleReporter() as reporter:
        for done, moment in ((0, 0.0), (1, 59.0), (2, 61.0), (3, 62.0), (4, 121.5), (5, 200.0)):
            now[0] = moment
            reporter.progress("finetuning", done, 5)
    assert capsys.readouterr().err.splitlines() == ["finetuning: 2 of 5", "finetuning: 4 of 5"]
