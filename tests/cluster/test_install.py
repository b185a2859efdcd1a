"""What a user types: helm install, the notes' lines, helm test, kubectl apply -k."""

import json
import os
import re
import shlex
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from deploy import manifests
from tests.cluster.kubernetes import (
    IMAGE,
    RESTRICTED,
    ROW,
    CommandFailed,
    Namespace,
    Object,
    Release,
    kubectl,
    run,
    wait_for,
)


@pytest.fixture(scope="module")
def installed(shared_namespace: Namespace) -> tuple[Release, str]:
    """A release without any values, and what helm printed."""
    release = Release(shared_namespace)
    return release, release.install()


def test_a_release_becomes_ready_where_the_restricted_standard_is_enforced(installed: tuple[Release, str]) -> None:
    release, _ = installed
    labels = json.loads(kubectl("get", "namespace", release.namespace.name, "--output", "json"))["metadata"]["labels"]
    assert labels.items() >= RESTRICTED.items()
    assert len(release.ready_pods()) == 1


def test_helm_test_predicts(installed: tuple[Release, str]) -> None:
    assert re.search(r'POST /models/iris/predict .*\n  \{"prediction": 0, "label": "setosa", ', installed[0].test())


def test_the_lines_of_the_notes_work_as_printed(installed: tuple[Release, str]) -> None:
    _, printed = installed
    lines = [line.strip() for line in printed.partition("NOTES:")[2].splitlines() if line.startswith("  ")]
    status, forward, *curls, test = lines
    assert "successfully rolled out" in run(*shlex.split(status))
    with subprocess.Popen(shlex.split(forward), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "Forwarding from 127.0.0.1:8000" in process.stdout.readline()
            answers = [json.loads(run("bash", "-c", line)) for line in curls]
        finally:
            process.terminate()
    assert answers[0]["prediction"] == 0
    assert [model["name"] for model in answers[1]["models"]] == ["iris"]
    assert "Phase:          Succeeded" in run(*shlex.split(test))


def test_nothing_of_the_root_file_system_can_be_written(installed: tuple[Release, str]) -> None:
    release, _ = installed
    (pod,) = release.ready_pods()
    with pytest.raises(CommandFailed, match="Read-only file system"):
        release.namespace.kubectl("exec", pod, "--", "touch", "/models/x")
    assert release.namespace.kubectl("exec", pod, "--", "id", "-u") == "10001\n"


def test_no_token_of_the_api_server_is_in_the_pod(installed: tuple[Release, str]) -> None:
    release, _ = installed
    (pod,) = release.ready_pods()
    with pytest.raises(CommandFailed, match="No such file"):
        release.namespace.kubectl("exec", pod, "--", "ls", "/var/run/secrets/kubernetes.io")


def test_a_release_called_slipway_is_not_confused_by_its_own_service(namespace: Namespace) -> None:
    release = Release(namespace, "slipway")
    release.fullname = "slipway"
    release.install()
    (pod,) = release.ready_pods()
    namespace.kubectl("delete", "pod", pod, "--wait=false")  # the next one is born with the Service already there
    wait_for(lambda: [name for name in release.ready_pods() if name != pod], "another ready pod")


@pytest.fixture
def own_namespace_of_the_manifests() -> Iterator[Namespace]:
    """The namespace that the overlays name. It must not be there yet, for it is deleted afterwards."""
    namespace = Namespace(manifests.NAMESPACE)
    with pytest.raises(CommandFailed, match="NotFound"):
        kubectl("get", "namespace", namespace.name)
    yield namespace
    namespace.delete()


@pytest.mark.usefixtures("operators")
def test_kubectl_apply_k(own_namespace_of_the_manifests: Namespace, tmp_path: Path) -> None:
    """One overlay over the other, as somebody does who goes into production, with an image of one's own."""
    namespace = own_namespace_of_the_manifests
    for overlay, pods in (("minimal", 1), ("production", 2)):
        of_the_project = os.path.relpath(manifests.KUSTOMIZE / "overlays" / overlay, tmp_path.resolve())
        name, _, tag = IMAGE.rpartition(":")
        own = {"resources": [of_the_project], "images": [{"name": "slipway", "newName": name, "newTag": tag}]}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
        kubectl("apply", "--kustomize", str(tmp_path))
        wait_for(
            lambda pods=pods: namespace.get("deployment", "slipway")["status"].get("readyReplicas") == pods,
            f"{pods} ready pods",
            timeout=120,
        )
        namespace.kubectl("rollout", "status", "deployment/slipway", "--timeout=120s")
        with namespace.forward("service/slipway") as address:
            assert httpx.post(f"http://{address}/predict", json=ROW).json()["prediction"] == 0


BARE: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "bare"},
    "spec": {
        "selector": {"matchLabels": {"app": "bare"}},
        "template": {
            "metadata": {"labels": {"app": "bare"}},
            "spec": {"containers": [{"name": "slipway", "image": IMAGE}]},
        },
    },
}


def seconds_to_first_answer(namespace: Namespace, target: str, port: int, started: float) -> float:
    def forwarded() -> bool:
        try:
            with namespace.forward(target, port) as address:
                while True:
                    try:
                        if httpx.post(f"http://{address}/predict", json=ROW).status_code == 200:
                            return True
                    except httpx.TransportError:
                        # The pod runs, the server does not listen yet: kubectl gives the forward up.
                        return False
        except CommandFailed:  # no pod runs yet
            return False

    wait_for(forwarded, "a first answer", timeout=120, interval=0.05)
    return time.monotonic() - started


def test_a_release_answers_nearly_as_soon_as_a_bare_deployment(
    lax_namespace: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command to the first 200 through port-forward, the image loaded: at most 1.5 times as long, by the
    median of five.
    """
    namespace, release = lax_namespace, Release(lax_namespace)
    bare, chart = [], []
    for _ in range(5):
        started = time.monotonic()
        namespace.apply(BARE)
        bare.append(seconds_to_first_answer(namespace, "deployment/bare", 8000, started))
        namespace.kubectl("delete", "deployment", "bare", "--cascade=foreground")
        started = time.monotonic()
        release.install(wait=False)
        chart.append(seconds_to_first_answer(namespace, f"service/{release.fullname}", 80, started))
        release.uninstall()
    with capsys.disabled():
        print(
            f"\nfirst answer after {statistics.median(chart):.1f} s with the chart, {statistics.median(bare):.1f} s "
            "bare"
        )
    assert statistics.median(chart) <= 1.5 * statistics.median(bare)
