"""Who may push to the hub, and what the hub's refusals mean, each in one line.

Tokens are read by the hub's own client, from `HF_TOKEN` or `hf auth login`, and never looked at here.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput, HubFailed, LampsError, without_credentials
from lamps_core.hub.ids import check_repository, front_repositories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from huggingface_hub import HfApi

HUB_TIMEOUT_SECONDS = 5.0
PUSH_OPTION = "--push-to-hub"
XET = "CAS Client Error"  # in what the client of Xet storage says where that does not answer
# A mirror that keeps repositories and no accounts; the hub, which is strict with those who ask often.
_NOT_TOLD = frozenset({404, 405, 429, 501})
_GATED = "it is gated: accept its terms on its page of the hub, and set HF_TOKEN to a token of the account that did"
_REFUSALS = {
    401: "the hub does not know the token, or there is none: set HF_TOKEN, or run hf auth login",
    403: "the token may not do that: name a repository of your own or of your organisation, and use a token that may "
    "write",
    404: "it is not there, or private: check the name, and set HF_TOKEN to a token that may see it",
}


def hub_api() -> HfApi:
    """The hub's client, of the endpoint that `HF_ENDPOINT` names."""
    from huggingface_hub import HfApi

    from lamps_core import __version__

    return HfApi(library_name="lamps", library_version=__version__)


def hub_cache() -> Path:
    """Where models of the hub are downloaded to."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Silence the hub's client: its progress bars disturb our display, its warnings repeat our errors."""
    from huggingface_hub import utils

    hub: Any = utils
    level, bars = hub.logging.get_verbosity(), not hub.are_progress_bars_disabled()
    hub.logging.set_verbosity_error()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        hub.logging.set_verbosity(level)
        if bars:
            hub.enable_progress_bars()


def check_push(
    target: str, *, option: str = PUSH_OPTION, of_a_front: bool = False, needs_token: bool = True
) -> None:
    """See, before anything runs, that a push can succeed; changes nothing.

    Args:
        target: `org/name`.
        option: that it was given by.
        of_a_front: names of candidates are appended to it.
        needs_token: refuse where there is no token; False where it may come from a Secret block later.

    Raises:
        BadInput: no legal name, offline mode, no token, one that the hub does not know or that may not write there.
        HubFailed: the hub cannot be asked.
    """
    from huggingface_hub import get_token, is_offline_mode

    check_repository(target, option)
    if of_a_front:
        front_repositories(target, ())
    if is_offline_mode():
        raise BadInput(
            f"{option} {target}: the hub is switched off here (HF_HUB_OFFLINE): unset it, or push later with "
            "lamps push"
        )
    if get_token():
        _check_account(target, option)
    elif needs_token:
        raise BadInput(
            f"{option} {target}: there is no token of the hub: set HF_TOKEN to one that may write, or run hf auth login"
        )


def _check_account(target: str, option: str) -> None:
    endpoint = hub_api().endpoint
    try:
        account = _whoami(endpoint)
    except Exception as error:
        if _status(error) in _NOT_TOLD:
            return
        raise hub_error(error, f"{option} {target}", endpoint) from None
    spaces = [account.get("name"), *(one.get("name") for one in account.get("orgs") or [])]
    space = target.partition("/")[0]
    if space.lower() not in {str(name).lower() for name in spaces}:
        raise BadInput(
            f"{option} {target}: the token is of {spaces[0]}, who does not belong to {space}: "
            f"name one of {', '.join(f'{name}/...' for name in spaces)}, or use another token"
        )
    role = ((account.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise BadInput(
            f"{option} {target}: the token may only read: make one that may write, and set HF_TOKEN to it"
        )


def _whoami(endpoint: str) -> dict[str, Any]:
    """Whom the token is of, as `HfApi.whoami` tells it, which waits for an answer without end."""
    from huggingface_hub import get_session, utils

    hub: Any = utils
    headers = hub.build_hf_headers(library_name="lamps")
    answer = get_session().get(f"{endpoint}/api/whoami-v2", headers=headers, timeout=HUB_TIMEOUT_SECONDS)
    hub.hf_raise_for_status(answer)
    told: dict[str, Any] = answer.json()
    return told


def hub_error(error: Exception, what: str, endpoint: str) -> LampsError:
    """Turn an error of the hub's client into the one to raise.

    Args:
        error: of any of its libraries.
        what: was to be done, named at the front of the line.
        endpoint: that was asked; a user and password in it are not told.

    Returns:
        `BadInput` for what asking again does not mend, else `HubFailed`.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    cause = next((one for one in _causes(error) if _status(one) is not None), error)
    status, endpoint = _status(cause), without_credentials(endpoint)
    if isinstance(cause, GatedRepoError):
        return BadInput(f"{what}: {_GATED}")
    if isinstance(cause, RevisionNotFoundError):
        return BadInput(f"{what}: there is no such revision")
    # Asked without a token, the hub says 401 of a name that is not there.
    if isinstance(cause, RepositoryNotFoundError):
        return BadInput(f"{what}: {_REFUSALS[404]} ({endpoint} answered {status})")
    if status is not None:
        return _answered(status, cause, what, endpoint)
    refused = _refused_file(error)
    if refused is not None:
        return BadInput(f"{what}: {refused.filename} cannot be used ({refused.strerror})")
    # The client of Xet storage, which is not written in Python, raises errors of Python's own.
    mend = "; a mirror without Xet storage needs HF_HUB_DISABLE_XET=1" * (
        type(cause).__module__ == "builtins"
    )
    return HubFailed(f"{what}: {endpoint} does not answer, or broke off ({type(cause).__name__}{mend})")


def passing_fault(error: Exception, what: str) -> HubFailed | None:
    """The error to raise instead of a library's, if the hub failed or gave no answer, which may pass; else None.

    Args:
        error: of whatever read from the hub, or from a file.
        what: as of `hub_error`.
    """
    fault = next((one for one in _causes(error) if isinstance(one, Exception) and of_the_hub(one)), None)
    told = None if fault is None else hub_error(fault, what, hub_api().endpoint)
    return told if isinstance(told, HubFailed) else None


def of_the_hub(error: Exception) -> bool:
    """Whether an error is an HTTP error response of the hub or a transport failure (no response)."""
    # By its name: the client is built on httpx, or, in later versions, on httpx2.
    silent = any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
    return _status(error) is not None or silent or (isinstance(error, RuntimeError) and XET in str(error))


def _answered(status: int, error: BaseException, what: str, endpoint: str) -> LampsError:
    if status in _REFUSALS:
        return BadInput(f"{what}: {_REFUSALS[status]} ({endpoint} answered {status})")
    if status in {409, 412}:
        return HubFailed(f"{what}: somebody else changed it at the same time ({endpoint} answered {status})")
    if 400 <= status < 500 and status != 429:
        told = " ".join(str(getattr(error, "server_message", None) or "").split())[:200]
        return BadInput(f"{what}: {endpoint} refused it with {status}{f' ({told})' if told else ''}")
    return HubFailed(f"{what}: {endpoint} answered {status}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refused_file(error: BaseException | None) -> OSError | None:
    """The error of a file of this machine that was the reason, if it was one."""
    while error is not None:
        if isinstance(error, OSError) and error.filename is not None:
            return error
        error = error.__cause__
    return None


def _status(error: BaseException) -> int | None:
    """The answer's status; None where there was no answer."""
    response: Any = getattr(error, "response", None)
    return getattr(response, "status_code", None)
