"""Whether a server answers: one request, with a short limit of time and no secret in what is said of it."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from typing import Literal

_TIMEOUT_SECONDS = 3.0


def ask(url: str, *, method: Literal["GET", "HEAD"]) -> tuple[bool, str]:
    """Send one request, through the proxy that the environment names if it names one.

    Args:
        url: http or https; a user, password or query in it is neither sent nor shown.
        method: of the request.

    Returns:
        Whether the answer was a good one, and one line that says what came back.
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return False, "the address cannot be read"
    shown = urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    if parts.scheme not in {"http", "https"}:
        return False, f"{shown} is not an http address"
    try:
        request = urllib.request.Request(shown, method=method)  # noqa: S310 (the scheme is checked above)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
            return True, f"{shown} answers"
    except urllib.error.HTTPError as error:
        return False, f"{shown} answers with status {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return False, f"{shown} does not answer ({type(reason).__name__})"
