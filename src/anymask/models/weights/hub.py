"""Weights on the Hugging Face hub: which files of a repository are needed, and getting them.

huggingface_hub does the work: it resumes, checks, and keeps what it has got in a cache of its own,
which other programs share.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from anymask.errors import AnymaskError, OutputError, WeightsError
from anymask.models.weights import folder

__all__ = ["fetch"]

_TIMEOUT = 10.0
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}


def fetch(
    repo: str,
    revision: str | None,
    file: str | None,
    offline: bool,
    beside: Sequence[str] = folder.CONFIGS,
) -> Path:
    """Get weights from the hub.

    Args:
        repo: ``org/name``.
        revision: Branch, tag or commit; None: the main branch.
        file: The file that is wanted; None: the one that `folder.pick` finds.
        offline: Use nothing but what is here already.
        beside: Names of files that explain weights, of which those are fetched that there are.

    Returns:
        The file; or the folder, where a config explains it.

    Raises:
        WeightsError: There is nothing of that name, or no connection.
        OutputError: It cannot be written.
    """
    origin = f"{repo}@{revision}" if revision else repo
    here = offline or not _answers()
    try:
        if file:
            return _get(repo, revision, file, here)
        return _get_all(repo, revision, origin, here, beside)
    except AnymaskError:
        raise
    except Exception as error:  # it has dozens of kinds, some of them from the packages it uses
        raise _explain(error, origin, file, offline) from error


def _answers() -> bool:
    """Return whether there is a connection: huggingface_hub takes half a minute to say no."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.build_opener().open(request, timeout=_TIMEOUT).close()
    except urllib.error.HTTPError as error:
        error.close()  # an answer all the same
    except OSError:
        return False
    return True


def _get(repo: str, revision: str | None, file: str, here: bool) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo, file, revision=revision, local_files_only=here))


def _get_all(
    repo: str, revision: str | None, origin: str, here: bool, beside: Sequence[str]
) -> Path:
    """Get the weights and the configs beside them."""
    names = _list_here(repo, revision) if here else _list(repo, revision)
    chosen = folder.pick(names, origin)
    weights = _get(repo, revision, chosen, here)
    if chosen not in folder.USUAL:  # files in the original layout explain themselves
        return weights
    configs = [name for name in beside if name in names]
    parts = folder.shards(weights) if weights.suffix == ".json" else []
    for name in [*configs, *parts]:
        _get(repo, revision, name, here)
    return weights.parent if configs or parts else weights


def _list(repo: str, revision: str | None) -> list[str]:
    from huggingface_hub import HfApi

    return HfApi().list_repo_files(repo, revision=revision)


def _list_here(repo: str, revision: str | None) -> list[str]:
    """List the files of a repository that were fetched before."""
    from huggingface_hub import constants, errors, scan_cache_dir

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except errors.CacheNotFound:
        repos = frozenset()
    wanted = revision or "main"
    found = [
        file.file_path.relative_to(version.snapshot_path).as_posix()
        for entry in repos
        if entry.repo_id == repo and entry.repo_type == "model"
        for version in entry.revisions
        if wanted in version.refs or version.commit_hash == wanted
        for file in version.files
    ]
    if not found:
        raise errors.LocalEntryNotFoundError("nothing of this repository is here")
    return found


def _explain(error: Exception, origin: str, file: str | None, offline: bool) -> AnymaskError:
    """Say in one sentence what huggingface_hub says in many."""
    from huggingface_hub import errors

    what = f"the weights {origin}:{file}" if file else f"the weights {origin}"
    if isinstance(error, OSError) and error.errno in _DISK:
        return OutputError(
            f"cannot write {what} to the cache of huggingface_hub: {error.strerror}; make room, "
            f"or set HF_HOME to another folder"
        )
    reasons: list[tuple[type[Exception], str, str]] = [
        (errors.GatedRepoError, "a closed door", "accept its terms on its page and log in there"),
        (errors.RepositoryNotFoundError, "no such path and no such repository", "check the name"),
        (errors.RevisionNotFoundError, "no such revision", "check what follows the @"),
        (errors.RemoteEntryNotFoundError, "no such file in it", "check what follows the colon"),
        (errors.HFValidationError, "a name that cannot be one", "write org/name"),
    ]
    for kind, got, cure in reasons:
        if isinstance(error, kind):
            return WeightsError(f"expected {what} on the Hugging Face hub, got {got}; {cure}")
    got = "nothing here, and downloads are switched off (offline)" if offline else "no connection"
    return WeightsError(
        f"expected {what} on the Hugging Face hub, got {got}; check the network, or load a file "
        f"by its path"
    )
