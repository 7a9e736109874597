"""One question to a model hub before a library's loaders are let at it.

They ask for each file by itself and try each five times over: a mistyped name, or a machine without a network, took
eighty seconds to become an error.
"""

from __future__ import annotations

from contextlib import suppress

#: A hub that has not answered by then is as good as unreachable.
TIMEOUT_S = 10.0


def ask_hub(repository: str, revision: str | None = None) -> None:
    """Ask once whether a repository is there, unless the local cache has some of it: then its loader may do without.

    Raises:
        LookupError: the hub has no such repository or revision, or does not show it to this user.
        OSError: the hub cannot be reached, or hub ids are switched off (``HF_HUB_OFFLINE``).
        ValueError: the name is no name of a repository.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        with suppress(LocalEntryNotFoundError):
            snapshot_download(repository, revision=revision, local_files_only=True)
            return
        HfApi().model_info(repository, revision=revision, timeout=TIMEOUT_S)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        missing = f"revision {revision!r} of {repository!r}" if revision else repr(repository)
        raise LookupError(f"the hub has no {missing}, or it is private and no token was given") from error
    except HfHubHTTPError:
        return  # a mirror without this service, or a hub that is busy: what the loaders are told counts
    except (OSError, HFValidationError):
        raise
    except Exception as error:  # the HTTP library's own, which changes from one release of the hub's client to another
        raise ConnectionError(f"the hub cannot be reached ({error})") from error


__all__ = ["TIMEOUT_S", "ask_hub"]
