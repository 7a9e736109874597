"""What every command has: ``--quiet`` and ``--verbose``, and an end that a shell understands.

The flags are added to the registered commands, so that no command can lack them and none repeats them.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from typing import Annotated, Any, TextIO

import typer

from ttft_bench.cli.console import WARNING, Level, set_level, stderr, tell, verbose
from ttft_bench.errors import (
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_PIPE,
    PluginError,
    StorageError,
    TtftBenchError,
    UsageError,
)
from ttft_bench.text import printable

_FLAGS = {
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr; warnings and errors stay.")],
    "verbose": Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more on stderr: times, and tracebacks of errors.")
    ],
}


def add_flags(app: typer.Typer) -> None:
    """Give every command of an app and of the apps within it the flags ``--quiet`` and ``--verbose``."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _with_flags(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_flags(group.typer_instance)


def _with_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def run(*args: Any, quiet: bool = False, verbose: bool = False, **kwargs: Any) -> Any:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose exclude each other: leave one of them out")
        set_level(Level.QUIET if quiet else Level.VERBOSE if verbose else Level.NORMAL)
        if not verbose:  # a hub that does not answer is one error of ours, not six lines of its library before
            os.environ.setdefault("HF_HUB_VERBOSITY", "error")
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:  # a command that has more to say about it says so itself
            tell("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None

    signature = inspect.signature(command, eval_str=True)  # the module's names are unknown here
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=flag)
        for name, flag in _FLAGS.items()
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])  # type: ignore[attr-defined]
    run.__annotations__ = {**inspect.get_annotations(command, eval_str=True), **_FLAGS}
    return run


def run_app(app: Callable[[], Any]) -> int:
    """Run the command line once and say how it ended.

    Deliberate errors become one message on stderr and their exit code; so do a library that cannot be imported and a
    file that cannot be used. Anything else is a fault of ours: one line, and the traceback in a file, so that nobody
    has to repeat hours of work to see it.

    Returns:
        The exit code.
    """
    _never_fail_to_print()
    set_level(Level.NORMAL)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = _ended(app)
            sys.stdout.flush()
        except BrokenPipeError:
            code = EXIT_PIPE
    if code == EXIT_PIPE:
        # What is still in the buffer has no reader; without this the interpreter would complain at its end.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    return code


def _ended(app: Callable[[], Any]) -> int:
    try:
        app()
    except SystemExit as end:
        # A reader that went away (`| head`) comes as exit code 1, which would mean failed cells.
        if isinstance(end.__context__, BrokenPipeError):
            return EXIT_PIPE
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except TtftBenchError as error:
        return _fail(error, str(error), error.exit_code)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(error, _storage(error), StorageError.exit_code)
    except ImportError as error:
        reason = " ".join(str(error).split())
        told = f"a library cannot be imported: {reason}; `ttft-bench doctor` says what is wrong and what to do"
        return _fail(error, told, PluginError.exit_code)
    except KeyboardInterrupt:
        tell("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        return _fail(error, _fault(error), EXIT_INTERNAL)
    return 0


def _fail(error: BaseException, message: str, code: int) -> int:
    if verbose():
        # Line by line: what a message in it quotes must not steer the terminal.
        for line in "".join(traceback.format_exception(error)).rstrip().split("\n"):
            stderr().print(printable(line))
    stderr().print(f"error: {printable(message)}", style="bold red")
    return code


def _storage(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return f"the system says: {error}"
    return f"cannot use {error.filename}: {error.strerror}. Mend that, or name another file or folder"


def _fault(error: Exception) -> str:
    """What is said of an error that nobody foresaw: the reason, and where its traceback is."""
    told = f"{type(error).__name__}: {' '.join(str(error).split())}. This is a fault of ttft-bench or a library"
    if verbose():
        return f"{told}: please report it with the traceback above"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="ttft-bench-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(f"{sys.argv}\n\n{''.join(traceback.format_exception(error))}")
    except OSError:
        return f"{told}: run it again with --verbose and report it with the traceback"
    return f"{told}: please report it with the traceback in {file.name} (--verbose prints it)"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A Python warning as one line like ours; where it comes from is for ``--verbose``."""
    place = f" ({category.__name__}, {filename}:{lineno})" if verbose() else ""
    tell(f"{WARNING}{' '.join(str(message).split())}{place}")


def _never_fail_to_print() -> None:
    """A character that the terminal's encoding lacks becomes a question mark, not the end of a run."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


__all__ = ["add_flags", "run_app"]
