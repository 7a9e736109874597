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

A message names the thing, the reason and the remedy.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_CELLS_FAILED = 1
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141


class TtftBenchError(Exception):
    """Base of every deliberate error; ``exit_code`` is what the command line ends with."""

    exit_code: int = 1


class UsageError(TtftBenchError):
    """What was asked for cannot be."""

    exit_code = 2


class SpecError(UsageError):
    """A strategy spec does not parse, or names an unknown parameter."""


class SuiteError(UsageError):
    """A suite file has an unknown key or an impossible value."""


class ResumeError(UsageError):
    """The run folder holds another run than the one asked for."""


class RunLockedError(UsageError):
    """Another process is writing to the run folder."""


class LabError(UsageError):
    """A :class:`ttft_bench.lab.Lab` is used while it is in use, or what it yielded after its end or elsewhere."""


class PluginError(TtftBenchError):
    """A plug-in is missing or broken."""

    exit_code = 3


class UnknownPluginError(PluginError):
    """No installed distribution offers that name."""


class DuplicateNameError(PluginError):
    """Two distributions offer the same name."""


class BrokenPluginError(PluginError):
    """The plug-in is installed but cannot be imported or built."""


class ContractError(PluginError):
    """A selector broke the contract of :mod:`ttft_bench.selector`."""


class DataError(TtftBenchError):
    """Data or a model is missing or unusable."""

    exit_code = 4


class AssetError(DataError):
    """A pinned download failed, or does not match its hash."""


class CorpusError(DataError):
    """A corpus cannot be read, is empty, or is too small."""


class EmbeddingError(DataError):
    """Embeddings are not finite, or have no direction."""


class ModelError(DataError):
    """A language model or its tokenizer cannot be used."""


class StorageError(DataError):
    """The output or cache folder cannot be written."""


class CellError(TtftBenchError):
    """One cell failed; its row says so and the others go on."""


class NonFiniteError(CellError):
    """A loss or score is NaN or infinite."""


class BackendError(CellError):
    """A training step could not be compiled."""


__all__ = sorted(name for name, value in list(globals().items()) if isinstance(value, type) or name.startswith("EXIT_"))
