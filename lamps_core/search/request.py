"""What a search is asked for, whether its folder can be used, and what makes it this search; nothing is written.

Does not know what is done already, nor how it is run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput
from lamps_core.files import usable_folder
from lamps_core.hub.download import at_commit
from lamps_core.models.folder import folder_fingerprint
from lamps_core.policies.loading import DEFAULT_POLICY, policy_found
from lamps_core.policy_file import priced, read_policy
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.search.journal import JOURNAL, read_journal
from lamps_core.settings import FineTuningSettings
from lamps_core.workers.pool import check_parallel, check_step_timeout

if TYPE_CHECKING:
    from collections.abc import Collection

    from lamps_core.models.candidates import Candidate
    from lamps_core.objectives import Objective
    from lamps_core.search.budget import Budget
    from lamps_core.text.dataset import DatasetRequest, TextDataset


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """A search as asked for.

    Attributes:
        data: the dataset, its columns and splits.
        models: what `--models` takes.
        objectives: what to minimise, with bounds.
        budget: when to stop.
        out: the folder of the search.
        gpu_hour_price: dollars, for what the report tells.
        policy: name of the policy, or a trained one: its path, or `org/name[@revision]` of the hub.
        settings: how candidates are fine-tuned.
        parallel: steps at once; None is one a GPU, or one on a CPU.
        step_timeout_seconds: after which a step is taken for hung.
        command: how the search was started, for the report.
        track: names of experiment trackers that are told the curves.
        retry_failed: try candidates again that failed for a lasting reason.
    """

    data: DatasetRequest
    models: str
    objectives: tuple[Objective, ...]
    budget: Budget
    out: Path
    gpu_hour_price: float = GPU_HOUR_PRICE
    policy: str = DEFAULT_POLICY
    settings: FineTuningSettings = field(default_factory=FineTuningSettings)
    parallel: int | None = None
    step_timeout_seconds: float | None = None
    command: str | None = None
    track: tuple[str, ...] = ()
    retry_failed: bool = False


def check_request(request: SearchRequest) -> None:
    """Refuse what no search can run with, and a folder that cannot be written or that holds something else.

    Raises:
        BadInput: says which.
    """
    check_parallel(request.parallel)
    check_step_timeout(request.step_timeout_seconds)
    out, data = request.out, request.data
    with usable_folder(out, f"--out {out}"):
        if out.is_dir() and any(out.iterdir()) and not (out / JOURNAL).is_file():
            raise BadInput(f"--out {out} is not empty and holds no search: name a new folder")
        for dataset in filter(None, (data.dataset, data.test_dataset)):
            folder = Path(dataset).expanduser()
            if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
                raise BadInput(f"--out {out} is in the folder of the dataset {dataset}: name one elsewhere")


def policy_asked(request: SearchRequest) -> str:
    """The policy's name; one of the hub is pinned to a commit, so that all files are read from the same version.

    The commit is the one with which the search in this folder began, else the current one.
    """
    policy = _as_begun(request)
    found = policy_found(policy)
    return policy if found is None or found.commit is None else at_commit(policy, found.commit)


def _as_begun(request: SearchRequest) -> str:
    """The policy asked for; of the hub's, at the commit that the search of this folder began with."""
    path = request.out / JOURNAL
    if not path.is_file():
        return request.policy
    try:
        header, _ = read_journal(path)
    except BadInput:  # whoever opens it says so
        return request.policy
    same = header.get("policy") == request.policy and isinstance(header.get("policy_commit"), str)
    return at_commit(request.policy, header["policy_commit"]) if same else request.policy


def search_identity(
    request: SearchRequest, policy: str, candidates: Collection[Candidate], dataset: TextDataset
) -> dict[str, Any]:
    """What makes a search this search: budget and devices may change from run to run, these may not.

    Args:
        request: asked for.
        policy: as `policy_asked` tells it.
        candidates: of the search.
        dataset: as loaded.
    """
    found = policy_found(policy)
    trained = {} if found is None else {"policy_weights": read_policy(found.path).digest()}
    if found is not None and found.commit is not None:
        trained["policy_commit"] = found.commit
    return (
        trained
        | priced(request.objectives)
        | {
            "dataset": dataset.name,
            "dataset_fingerprint": dataset.fingerprint,
            "models": [candidate.name for candidate in candidates],
            "model_files": {
                candidate.name: folder_fingerprint(Path(candidate.location))
                for candidate in candidates
                if candidate.kind != "hub"
            },
            "policy": request.policy,
            "objectives": [objective.column for objective in request.objectives],
            "bounds": [objective.bound for objective in request.objectives],
            "selection": dataset.selection,
            "settings": asdict(request.settings),
        }
    )
