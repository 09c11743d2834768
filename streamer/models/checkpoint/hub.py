"""Downloads models from the Hugging Face hub, with a message for each kind of failure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from streamer.errors import ConfigurationError, GatedModel, HubUnreachable, ModelNotFound, RevisionNotFound
from streamer.models.places import FILE_NAMES

TOKEN_PAGE = "https://huggingface.co/settings/tokens"


def download(
    repository: str,
    *,
    token: str | bool | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    subfolder: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """The path of the model's file in the cache, downloaded if it is missing or has changed.

    token: a Hugging Face access token; None or True for the one that `hf auth login` or HF_TOKEN left, False for none.
    endpoint: the hub's address; None for the HF_ENDPOINT variable's, or the public hub.

    Without a network, the cache is used. Raises a HubError that says what to do next.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if "@" in repository:
        name, _, wanted = repository.partition("@")
        raise ConfigurationError(f"{repository!r}: give the revision apart: {name!r}, revision={wanted!r}.")
    unreachable: Exception | None = None
    for file_name in FILE_NAMES:
        try:
            return Path(
                hf_hub_download(
                    repository,
                    file_name,
                    subfolder=subfolder,
                    revision=revision,
                    cache_dir=None if cache_dir is None else Path(cache_dir),
                    token=token,
                    endpoint=endpoint,
                    # After the hub has failed to answer, only the cache is tried, which may have the other file.
                    local_files_only=unreachable is not None,
                )
            )
        except LocalEntryNotFoundError as error:
            unreachable = unreachable or error
        except EntryNotFoundError:
            continue
        except Exception as error:
            # The exceptions depend on the HTTP library, which differs between hub versions.
            _explain(error, repository, revision, token)
    if unreachable is not None:
        _explain(unreachable, repository, revision, token)
    where = f"its folder {subfolder!r}" if subfolder else "it"
    raise ModelNotFound(
        f"{repository!r} is on the hub, but {where} has neither {' nor '.join(FILE_NAMES)}; "
        f"it may hold a pipeline rather than a model, or need subfolder=."
    )


def _explain(error: Exception, repository: str, revision: str | None, token: str | bool | None) -> NoReturn:
    """Raise the error that says what to do next."""
    from huggingface_hub import errors, get_token

    page = f"https://huggingface.co/{repository}"
    has_token = isinstance(token, str) or (token is not False and get_token() is not None)
    # A failed look-up in the cache is raised from the network failure before it.
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    match cause:
        case errors.LocalTokenNotFoundError():
            raise GatedModel(
                f"token=True, but this machine has no Hugging Face token: make one at {TOKEN_PAGE}, then run "
                f'`hf auth login`, set HF_TOKEN, or give token="hf_...".'
            ) from error
        case errors.GatedRepoError() if has_token:
            raise GatedModel(
                f"{repository!r} is gated and your token has no access: accept its conditions at {page} with the "
                f"account of the token, and let a fine-grained token read gated repositories ({TOKEN_PAGE})."
            ) from error
        case errors.GatedRepoError():
            raise GatedModel(
                f"{repository!r} is gated and no token was given: accept its conditions at {page}, make a token at "
                f'{TOKEN_PAGE}, and give it as token="hf_..." (--token), by HF_TOKEN, or by `hf auth login`.'
            ) from error
        case errors.RevisionNotFoundError():
            raise RevisionNotFound(
                f"{repository!r} has no revision {revision!r}; see {page}/commits/main, or leave revision= out."
            ) from error
        case errors.RepositoryNotFoundError():
            hint = "your token has no access" if has_token else 'it needs token="hf_..."'
            raise ModelNotFound(
                f"there is no model {repository!r} on the hub and no file of this name here, "
                f"or it is private and {hint}."
            ) from error
        case errors.HFValidationError():
            raise ModelNotFound(f"{repository!r} is not a valid Hugging Face id (OWNER/NAME): {error}") from error
        case _ if status in (401, 403):
            raise GatedModel(
                f"the hub refused your token for {repository!r} (HTTP {status}): make a new one at {TOKEN_PAGE}."
            ) from error
    reason = f"HTTP {status}" if status else f"{type(cause).__name__}: {' '.join(str(cause).split())[:160]}"
    raise HubUnreachable(
        f"{repository!r} is not in the cache and the hub did not give it ({reason}): check the network, proxy and "
        f"HF_HUB_OFFLINE, or download it elsewhere and give the file's path."
    ) from error
