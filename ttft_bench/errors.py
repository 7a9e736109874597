"""Every error this project raises on purpose, and the exit code each one ends the command line with.

::

    TtftBenchError
    ├── UsageError             2   a flag, spec or suite file asks for something that cannot be
    │   ├── SpecError          2   a strategy spec such as ``sift[lam=0.2]`` does not parse or fit
    │   ├── SuiteError         2   a suite file has an unknown key or an impossible value
    │   ├── ResumeError        2   the run folder holds another run than the one asked for
    │   ├── RunLockedError     2   another process is writing to the run folder
    │   └── LabError           2   a Lab is used while it is in use, or what it yielded after its end
    ├── PluginError            3   a plug-in is missing or broken
    │   ├── UnknownPluginError 3   no installed distribution offers that name
    │   ├── DuplicateNameError 3   two distributions offer the same name
    │   ├── BrokenPluginError  3   the plug-in is installed but cannot be imported or built
    │   └── ContractError      3   a selector broke the contract of ``ttft_bench.selector``
    ├── DataError              4   data or a model is missing or unusable
    │   ├── AssetError         4   a pinned download failed or does not match its hash
    │   ├── CorpusError        4   a corpus cannot be read, is empty or too small
    │   ├── EmbeddingError     4   embeddings are not finite, or have no direction
    │   ├── ModelError         4   a language model or its tokenizer cannot be used
    │   └── StorageError       4   the output or cache folder cannot be written
    └── CellError              1   one cell failed; its row says so and the others go on
        ├── NonFiniteError     1   a loss or score is NaN or infinite
        └── BackendError       1   a training step could not be compiled

Exit code 0 means that every cell succeeded, 1 that some cells failed while the results were kept,
and 130 that the user interrupted the run (the rows are kept too). What is no deliberate error ends
with 3 if a library cannot be imported, with 4 if the system refuses a file, with 141 if the reader of
the output went away (``| head``), and else with 70: a fault of ours, told in one line with the place of
its traceback.

A message names the thing, the reason and the remedy. The page of errors in ``docs`` is made from the docstrings and
constants below.
"""

from __future__ import annotations

#: Everything that was asked for succeeded.
EXIT_OK = 0
#: Some cells failed, or checks did, or ``doctor`` found a problem; everything else is done and kept.
EXIT_CELLS_FAILED = 1
#: A fault of ttft-bench: the message names a file with the traceback, which a report of the fault should hold.
EXIT_INTERNAL = 70
#: Interrupted; every row that was finished is kept, and the same command goes on from there.
EXIT_INTERRUPTED = 130
#: The reader of the output went away, as ``head`` does.
EXIT_PIPE = 141


class TtftBenchError(Exception):
    """Base of every deliberate error; ``exit_code`` is what the command line ends with."""

    exit_code: int = 1


class UsageError(TtftBenchError):
    """What was asked for cannot be.

    Remedy: read the message: it names the flag or value, and what would do. ``ttft-bench COMMAND --help``
    lists what there is.
    """

    exit_code = 2


class SpecError(UsageError):
    """A strategy spec does not parse, or names an unknown parameter.

    Remedy: write ``name[key=value,...]``; ``ttft-bench strategies --json`` lists every strategy's parameters.
    """


class SuiteError(UsageError):
    """A suite file has an unknown key or an impossible value.

    Remedy: mend the key that the message names; ``ttft-bench suites NAME`` shows a suite that works.
    """


class ResumeError(UsageError):
    """The run folder holds another run than the one asked for.

    Remedy: give another ``--output``, or repeat the settings that the message and the folder's ``manifest.json``
    name: a run goes on with its own settings only.
    """


class RunLockedError(UsageError):
    """Another process is writing to the run folder.

    Remedy: wait for the other process or end it, or give another ``--output``.
    """


class LabError(UsageError):
    """A :class:`ttft_bench.lab.Lab` is used while it is in use, or what it yielded after its end or elsewhere.

    Remedy: leave the ``with`` block before the next call; make a Lab with a model of its own for each thread.
    """


class PluginError(TtftBenchError):
    """A plug-in is missing or broken; its exit code is also that of a library that cannot be imported.

    Remedy: ``ttft-bench strategies`` lists what is installed, what is wrong with it and what to do.
    """

    exit_code = 3


class UnknownPluginError(PluginError):
    """No installed distribution offers that name.

    Remedy: look for a slip: the message names what is near. Install the distribution that offers the name; where
    it is your own, install it again, since entry points are frozen at installation.
    """


class DuplicateNameError(PluginError):
    """Two distributions offer the same name.

    Remedy: uninstall one of the distributions that the message names.
    """


class BrokenPluginError(PluginError):
    """The plug-in is installed but cannot be imported or built.

    Remedy: do what the message says, as a rule a ``pip install`` of what is missing; else tell the author.
    """


class ContractError(PluginError):
    """A selector broke the contract of :mod:`ttft_bench.selector`.

    Remedy: ``ttft-bench check NAME`` says which rules a strategy breaks; only its author can mend it.
    """


class DataError(TtftBenchError):
    """Data or a model is missing or unusable; its exit code is also that of a file that the system refuses.

    Remedy: read the message: it names the file, folder or id, and what would do.
    """

    exit_code = 4


class AssetError(DataError):
    """A pinned download failed, or does not match its hash.

    Remedy: run the command again: what is there already is not fetched anew. ``ttft-bench assets verify`` reads
    and hashes everything in the cache.
    """


class CorpusError(DataError):
    """A corpus cannot be read, is empty, or is too small.

    Remedy: ``ttft-bench corpus info SOURCE`` reads a corpus and says what is in it; the message names the file
    and line that cannot be read.
    """


class EmbeddingError(DataError):
    """Embeddings are not finite, or have no direction.

    Remedy: look for empty texts, and embed prompts and documents by one model.
    """


class ModelError(DataError):
    """A language model or its tokenizer cannot be used.

    Remedy: give an asset name, the folder of a causal language model, or a hub id that this machine can reach.
    """


class StorageError(DataError):
    """The output or cache folder cannot be written.

    Remedy: free space, or name another place: ``--output`` for runs, ``TTFT_BENCH_CACHE`` for the cache.
    """


class CellError(TtftBenchError):
    """One cell failed; its row says so and the others go on.

    Remedy: the column ``reason`` of the row says what happened. Run the same command again: failed cells are
    tried anew, finished ones are not.
    """


class NonFiniteError(CellError):
    """A loss or score is NaN or infinite.

    Remedy: lower ``--lr``, or train with ``--precision fp32``.
    """


class BackendError(CellError):
    """A training step could not be compiled, or what was compiled has another loss or gradient than the model itself.

    Either is found before a step is used: what was computed until then is right.

    Remedy: ``--backend eager`` takes the same steps without compiling.
    """


__all__ = sorted(name for name, value in list(globals().items()) if isinstance(value, type) or name.startswith("EXIT_"))
