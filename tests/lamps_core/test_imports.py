"""Imports point down: what decides knows nothing of how it was trained, and a search nothing of the hub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lamps_core

POLICIES = Path(lamps_core.__file__).parent / "policies"


def test_no_policy_names_the_package_that_trains_it() -> None:
    files = list(POLICIES.rglob("*.py"))
    assert len(files) > 20
    assert [file.name for file in files if "policy_training" in file.read_text(encoding="utf-8")] == []


def test_a_search_needs_neither_the_hub_nor_torch() -> None:
    code = (
        "import sys, lamps_core.search.algorithm, lamps_core.replay;"
        "heavy = ('huggingface_hub', 'lamps_core.hub.download', 'lamps_core.policies.loading', 'torch');"
        "sys.exit(str([name for name in heavy if name in sys.modules] or ''))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == ""
