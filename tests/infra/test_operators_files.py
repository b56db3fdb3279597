"""The files for operators beside the package infra: containers, Kubernetes, permissions, monitoring."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from installed import wheel

__all__ = ["wheel"]

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("containers", "kubernetes", "permissions", "monitoring")
MANIFESTS = [
    pytest.param(document, id=f"{document['kind']}-{document['metadata']['name']}")
    for path in sorted((ROOT / "infra/kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]

PODS = [one for one in MANIFESTS if "template" in one.values[0].get("spec", {})]
POLICIES = sorted((ROOT / "infra/permissions").glob("*.json"))


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_kubernetes_knows_every_field(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.parametrize(
    "manifest", [one for one in MANIFESTS if "template" in one.values[0].get("spec", {})]
)
def test_pods_run_without_rights_and_within_limits(manifest: dict[str, Any]) -> None:
    pod = manifest["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert "/" not in container["image"]
    if "selector" in manifest["spec"]:
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        assert manifest["spec"]["selector"]["matchLabels"] == labels


def test_services_and_addresses_meet() -> None:
    found = {one.id: one.values[0] for one in MANIFESTS}
    settings = found["ConfigMap-congeal"]["data"]
    for address, service in (
        (settings["PREFECT_API_URL"], found["Service-prefect-server"]),
        (settings["CONGEAL_ENGINE__ADDRESS"], found["Service-dask-scheduler"]),
    ):
        named = re.search(r"//([\w-]+):(\d+)", address)
        assert named is not None
        host, port = named.groups()
        assert service["metadata"]["name"] == host
        assert int(port) in [each["port"] for each in service["spec"]["ports"]]
        labels = found[f"Deployment-{host}"]["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()


def test_the_compose_file_holds_together() -> None:
    compose = yaml.safe_load((ROOT / "infra/containers/compose.yaml").read_text())
    services = compose["services"]
    assert services.keys() >= {"database", "server", "worker", "scheduler", "dask-worker", "s3"}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()
        for mounted in service.get("volumes", ()):
            assert mounted.split(":")[0] in compose["volumes"]
        # Reached from this machine alone, and no image by a host's name.
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert "." not in service["image"].split("/")[0].split(":")[0]
        if "build" in service:
            context = ROOT / "infra/containers" / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()


def test_the_dockerfile_takes_what_there_is_and_ends_without_rights() -> None:
    text = (ROOT / "infra/containers/Dockerfile").read_text()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.M):
        assert all((ROOT / source).exists() for source in sources.split())
    assert re.findall(r"^FROM (\S+)", text, flags=re.M) == ["${BASE}", "${BASE}"]
    assert re.findall(r"^USER (\S+)$", text, flags=re.M) == ["10001:10001"]
    assert text.index("USER 10001") > text.rindex("COPY ")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "infra/permissions").glob("*.json")), ids=lambda path: path.stem
)
def test_policies_are_those_of_the_documentation(path: Path) -> None:
    page = (ROOT / "docs/permissions.md").read_text()
    found = re.findall(r"^## (\w+)\n```json\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    policies = {heading.lower(): json.loads(text) for heading, text in found}
    assert json.loads(path.read_text()) == policies[path.stem]
    assert len(policies) == len(list(path.parent.glob("*.json")))


def test_automations_look_for_events_that_runs_emit() -> None:
    from prefect.events.schemas.automations import AutomationCore, EventTrigger

    emitted = (ROOT / "flows/runs/notification.py").read_text()
    automations = yaml.safe_load((ROOT / "infra/monitoring/automations.yaml").read_text())["automations"]
    for automation in automations:
        trigger = AutomationCore.model_validate(automation).trigger
        assert isinstance(trigger, EventTrigger)
        assert all(f'"{name}"' in emitted for name in trigger.expect)


def test_rules_are_of_the_form_that_prometheus_takes() -> None:
    (group,) = yaml.safe_load((ROOT / "infra/monitoring/prometheus-rules.yaml").read_text())["groups"]
    for rule in group["rules"]:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_none_of_it_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if any(f"/infra/{folder}/" in name for folder in FOLDERS)] == []
    assert any(name.startswith("congeal_floors/infra/storage/") for name in names)
