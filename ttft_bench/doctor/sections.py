"""The round through all sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ttft_bench.doctor.finding import Finding


def diagnose(note: Callable[[str], None] = lambda message: None) -> Iterator[Finding]:
    """Examine everything, section by section.

    Args:
        note: told what is examined next, as some of it takes seconds.
    """
    for section, doing, examine in (
        ("libraries", "importing the libraries", _libraries),
        ("devices", "timing the devices", _devices),
        ("storage", "reading the cache and hashing what was downloaded", _storage),
        ("plug-ins", "importing the plug-ins", _plugins),
    ):
        note(doing)
        try:
            yield from examine()
        except Exception as error:  # what a check stumbles over is a fault of the installation, and not the last one
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            remedy = "mend what is named above; else report it with the output of `ttft-bench doctor --json`"
            yield Finding(section, "the check itself", "problem", reason, remedy)


# Imported one by one, as each needs something that may be what is broken.
def _libraries() -> Iterable[Finding]:
    from ttft_bench.doctor.libraries import examine

    return examine()


def _devices() -> Iterable[Finding]:
    from ttft_bench.doctor.devices import examine

    return examine()


def _storage() -> Iterable[Finding]:
    from ttft_bench.doctor.storage import examine

    return examine()


def _plugins() -> Iterable[Finding]:
    from ttft_bench.doctor.plugins import examine

    return examine()


__all__ = ["diagnose"]
