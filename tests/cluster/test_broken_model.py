"""A new version that cannot serve never takes traffic, and says why."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.kubernetes import ROW, CommandFailed, Release, rollback_on_failure, wait_for

# Quick to fail: ten seconds to load, and no long drain for the clients of a pod that never had any.
QUICK = {"loadBudgetSeconds": 10, "progressDeadlineSeconds": 25, "config": {"drainTimeout": 5}}
REASON = "is not the file that was packed: its digest is sha256:"


def serving(config_map: str) -> dict[str, Any]:
    return {**QUICK, "models": [{"name": "iris", "version": "1", "source": {"configMap": {"name": config_map}}}]}


@contextmanager
def steady_clients(client: httpx.Client) -> Iterator[list[int]]:
    """Asks again and again meanwhile; the status of each answer, 0 for none."""
    statuses: list[int] = []
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.wait(0.05):
            try:
                statuses.append(client.post("/predict", json=ROW).status_code)
            except httpx.TransportError:
                statuses.append(0)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        stopped.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_old_pods_go_on_serving_and_the_upgrade_is_taken_back(
    release: Release, packed: Callable[[str], Path], tmp_path: Path
) -> None:
    namespace, directory = release.namespace, packed("iris")
    broken = tmp_path / "model.joblib"
    broken.write_bytes((directory / "model.joblib").read_bytes() + b"\0")
    namespace.config_map("good", directory)
    namespace.config_map("broken", broken, directory / "manifest.json")
    release.install(serving("good"))
    (old,) = release.ready_pods()

    with release.client() as client, steady_clients(client) as statuses:
        with pytest.raises(CommandFailed):
            release.upgrade(serving("broken"), timeout="60s")
        assert release.status["info"]["status"] == "failed"
        assert release.ready_pods() == [old]
        (new,) = (pod["metadata"]["name"] for pod in release.pods() if pod["metadata"]["name"] != old)

        # why: one line of the log, and the container's termination message
        line = wait_for(lambda: told(release, new), "the reason in the log of a life of the broken pod's container")
        assert json.loads(line)["level"] == "error"
        assert REASON in namespace.kubectl("describe", "pod", new)

        with pytest.raises(CommandFailed) as failed:
            release.upgrade(serving("broken"), rollback_on_failure(), timeout="60s")
        # Helm 4 looked while the old state was not taken back yet.
        if "an error occurred while rolling back" in str(failed.value):
            assert str(failed.value).count("Progress deadline exceeded") >= 2
            release.rollback("1")  # as docs/operations.md says
        else:
            assert "has been rolled back" in str(failed.value)
        assert release.status["info"]["status"] == "deployed"
        assert release.ready_pods() == [old]
        deployment = namespace.get("deployment", release.fullname)
        assert deployment["spec"]["template"]["spec"]["volumes"][-1]["configMap"]["name"] == "good"
    assert len(statuses) > 100
    assert set(statuses) == {200}


def told(release: Release, pod: str) -> str | None:
    """The line; None before the first life's end, and while the kubelet clears one away."""
    try:
        lines = release.logs(pod, "--previous").splitlines()
    except CommandFailed:
        return None
    return next((line for line in lines if REASON in line), None)
