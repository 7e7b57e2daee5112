"""The Kubernetes manifests: whole and known to Kubernetes, naming only what is there, with commands that parse.

They were never run on a cluster: this is all that is known of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.commands import check_command

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "deployments" / "kubernetes"
KUBERNETES = "1.34"
KEYS = {"postgres-password", "prefect-auth", "hf-token"}  # that secret.sh makes

Object = dict[str, Any]


def objects() -> list[Object]:
    return [
        document
        for path in sorted(FOLDER.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def named(kind: str) -> dict[str, Object]:
    return {found["metadata"]["name"]: found for found in objects() if found["kind"] == kind}


def pods() -> dict[str, Object]:
    """The pod template of each workload, by the workload's name."""
    kinds = {"Deployment", "StatefulSet", "Job"}
    return {
        found["metadata"]["name"]: found["spec"]["template"] for found in objects() if found["kind"] in kinds
    }


def containers() -> Iterator[Object]:
    for pod in pods().values():
        yield from pod["spec"]["containers"]


def container_of(name: str) -> Object:
    (container,) = pods()[name]["spec"]["containers"]
    found: Object = container
    return found


@pytest.mark.parametrize("found", objects(), ids=lambda found: f"{found['kind']} {found['metadata']['name']}")
def test_every_object_is_one_that_kubernetes_knows(found: Object) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    validate(found, KUBERNETES, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_refused() -> None:
    library = pytest.importorskip("kubernetes_validate")
    wrong = named("Deployment")["lamps-worker"]
    wrong["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(library.ValidationError):
        library.validate(wrong, KUBERNETES, strict=True)


def test_services_lead_to_pods_and_policies_cover_all_of_them() -> None:
    labels = [pod["metadata"]["labels"] for pod in pods().values()]
    for service in named("Service").values():
        assert sum(service["spec"]["selector"].items() <= of_pod.items() for of_pod in labels) == 1
        port = service["spec"]["ports"][0]["port"]
        assert container_of(service["metadata"]["name"])["ports"] == [{"containerPort": port}]
    covered = named("NetworkPolicy")["lamps"]["spec"]["podSelector"]["matchLabels"]
    assert all(covered.items() <= of_pod.items() for of_pod in labels)
    for kind in ("Deployment", "StatefulSet"):
        for workload in named(kind).values():
            wanted = workload["spec"]["selector"]["matchLabels"]
            assert wanted.items() <= workload["spec"]["template"]["metadata"]["labels"].items()


def test_addresses_and_volumes_are_of_something_that_is_there() -> None:
    services = {name: service["spec"]["ports"][0]["port"] for name, service in named("Service").items()}
    text = "\n".join(str(container) for container in containers())
    for name, port in services.items():
        assert f"{name}:{port}" in text
    for pod in pods().values():
        for volume in pod["spec"].get("volumes", []):
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in named("PersistentVolumeClaim")


def test_secrets_are_referred_to_and_never_written_down() -> None:
    references = [
        variable["valueFrom"]["secretKeyRef"]
        for container in containers()
        for variable in container.get("env", [])
        if "valueFrom" in variable
    ]
    assert {reference["name"] for reference in references} == {"lamps"}
    assert {reference["key"] for reference in references} == KEYS
    script = (FOLDER / "secret.sh").read_text(encoding="utf-8")
    assert all(f"--from-literal={key}=" in script for key in KEYS)
    for container in containers():
        for variable in container.get("env", []):
            if any(word in variable["name"] for word in ("PASSWORD", "AUTH", "TOKEN")):
                assert "value" not in variable


def test_every_worker_has_a_gpu_for_each_step_it_takes() -> None:
    worker = container_of("lamps-worker")
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "--resources=GPU=1" in worker["command"]


def test_the_commands_are_ones_that_the_programs_take() -> None:
    commands = [container["command"] for container in containers() if "command" in container]
    assert [command[:2] for command in sorted(commands)] == [
        ["dask", "scheduler"], ["dask", "worker"], ["lamps", "campaign"], ["prefect", "server"],
    ]  # fmt: skip
    for command in commands:
        check_command(command)


def test_prefects_settings_are_ones_it_knows() -> None:
    import prefect.settings

    names = {
        variable["name"]
        for container in containers()
        for variable in container.get("env", [])
        if variable["name"].startswith("PREFECT_")
    }
    assert names
    assert {name for name in names if not hasattr(prefect.settings, name)} == set()
