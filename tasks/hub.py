"""The Prefect task that pushes to the hub, and what is said where it does not succeed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from lamps_core.errors import HubFailed, LampsError, PushFailed
from lamps_core.publishing.push import push_again, push_uploads, uploads_of

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

RETRIES = 3


def worth_asking_again(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Prefect's condition for a retry: a hub that failed may work later, one that refused will refuse again."""
    return isinstance(state.data, HubFailed)


@task(
    name="push-to-hub",
    task_run_name="push to {target}",
    retries=RETRIES,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_condition_fn=worth_asking_again,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def push_to_hub(
    place: str, target: str, *, public: bool = False, revision: str | None = None
) -> list[dict[str, Any]]:
    """Bring what lies at a place to the hub; see `publishing.push.uploads_of`.

    Args:
        place: the folder of a search or of curves, or a policy.
        target: the repository, `org/name`.
        public: as `hub.upload.upload`.
        revision: as `hub.upload.upload`.

    Returns:
        One row a repository: its name, page, commit, and whether it is private.

    Raises:
        BadInput: the hub refuses it; not retried.
        HubFailed: the hub cannot be reached or failed; retried with back-off.
    """
    return [asdict(one) for one in push_uploads(uploads_of(place, target), public=public, revision=revision)]


def with_push(result: dict[str, Any], place: str, target: str | None) -> dict[str, Any]:
    """The result of a flow, pushed if that was asked for.

    Args:
        result: of the flow.
        place: where it lies.
        target: the repository; None or empty to push nothing.

    Returns:
        The result, with the rows of `push_to_hub` as `pushed` where it was asked for.

    Raises:
        PushFailed: with the result: everything is done but the push.
    """
    if not target:
        return result
    try:
        return result | {"pushed": push_to_hub(place, target)}
    except LampsError as error:
        raise PushFailed(
            f"{error}; all else is done and kept: {push_again(place, target)}", result
        ) from error
