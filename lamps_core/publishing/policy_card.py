"""The card of a trained policy on the hub: what it was trained on, and what it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamps_core.publishing.cards import TAG, card, code, facts, made_by, names

if TYPE_CHECKING:
    from lamps_core.policy_file import PolicyCard

POLICY_TAG = "lamps-policy"
_FITS = {
    "pool": "a fixed list of candidates: it refuses a search over any other, and other objectives",
    "universal": "any candidates and any objectives",
}


def policy_card(repository: str, policy: PolicyCard) -> bytes:
    """The README of a policy.

    Args:
        repository: it is pushed to.
        policy: what it says of itself.
    """
    from huggingface_hub import ModelCardData

    return card(ModelCardData(library_name="lamps", tags=[TAG, POLICY_TAG]), _text(repository, policy))


def _text(repository: str, policy: PolicyCard) -> list[str]:
    settings = ", ".join(f"{name} {value}" for name, value in sorted(policy.settings.items()))
    return [
        f"# {repository.partition('/')[2]}",
        "",
        "A policy of LAMPS: it watches learning curves and decides which pretrained model gets the next step of "
        "fine-tuning. Safetensors and JSON, no pickle.",
        "",
        *facts(
            [
                ("algorithm", code(policy.algorithm)),
                ("fits", f"{_FITS[policy.kind]} (kind {code(policy.kind)})"),
                ("objectives", names(policy.objectives)),
                ("trained on the datasets", names(policy.datasets)),
                ("trained on the candidates", names(policy.candidates, most=100)),
                ("fingerprint of the curves", code(policy.meta_dataset)),
                ("settings", code(settings)),
                ("LAMPS", code(policy.lamps_version)),
            ]
        ),
        "",
        "```bash",
        "lamps search --dataset reviews.csv --input-col text --target-col label --models zoo-small "
        f"--policy {repository} --out runs/search",
        f"lamps evaluate --curves runs/curves --policy {repository} --out runs/evaluation",
        "```",
        "",
        "On the datasets above it is judged by what it has seen: its figures there say nothing of others.",
        "",
        made_by(policy.lamps_version),
    ]
