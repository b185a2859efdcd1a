"""Whatever is done to a release on purpose, no request fails: 32 kept-alive connections through the node port meanwhile.

The load goes to the environment's NODE_ADDRESS, under which port 30080 of a node is reached: 127.0.0.1:8080 unless set, where
deploy/kind.yaml maps it. No other release may hold that port, and draining nodes evicts other pods from them, too.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster.kubernetes import CHART, NODE_ADDRESS, ROW, Namespace, Release, kubectl, wait_for
from tests.cluster.traffic import under_load
from tests.load import Load

VALUES: dict[str, Any] = yaml.safe_load((CHART / "ci" / "nodeport-values.yaml").read_text()) | {"config": {"workers": 2}}
PODS = VALUES["replicaCount"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def serving(shared_namespace: Namespace) -> Iterator[Release]:
    """Two pods of two workers each. Every test leaves two pods that are ready."""
    release = Release(shared_namespace)
    release.install(VALUES)
    yield release
    release.namespace.kubectl("delete", "service", release.fullname)  # the port is free for others now, and the pods drain with the namespace


def assert_that_nothing_failed(load: Load) -> None:
    assert (load.failures, set(load.answers)) == ({}, {200})


def test_a_rolling_upgrade_and_its_rollback(serving: Release) -> None:
    def annotations() -> list[str | None]:
        return [pod["metadata"]["annotations"].get("example.org/build") for pod in serving.pods()]

    first, revision = set(serving.ready_pods()), serving.status["version"]

    def upgrade() -> None:
        serving.upgrade(VALUES | {"podAnnotations": {"example.org/build": "2"}})
        serving.wait_for_end(first)

    assert_that_nothing_failed(under_load(upgrade))
    second = set(serving.ready_pods())
    assert (len(second), first & second, serving.status["version"]) == (PODS, set(), revision + 1)
    assert annotations() == ["2"] * PODS

    def rollback() -> None:
        serving.rollback()
        serving.wait_for_end(second)

    assert_that_nothing_failed(under_load(rollback))
    third = set(serving.ready_pods())
    assert (len(third), second & third, serving.status["version"]) == (PODS, set(), revision + 2)
    assert annotations() == [None] * PODS


def test_a_change_of_the_configuration(serving: Release) -> None:
    def status_of_two_rows() -> int:
        return httpx.post(f"http://{NODE_ADDRESS}/predict", json={"instances": [ROW["features"]] * 2}).status_code

    old = set(serving.ready_pods())
    assert status_of_two_rows() == 200

    def allow_one_row() -> None:
        serving.upgrade(VALUES | {"config": VALUES["config"] | {"maxRows": 1}})
        serving.wait_for_end(old)

    assert_that_nothing_failed(under_load(allow_one_row))
    assert not old & set(serving.ready_pods())
    assert {status_of_two_rows() for _ in range(8)} == {413}


def test_scaling_down(serving: Release) -> None:
    serving.upgrade(VALUES | {"replicaCount": PODS + 1})
    more = set(serving.ready_pods())
    assert len(more) == PODS + 1

    def scale_down() -> None:
        serving.upgrade(VALUES)
        (leaving,) = more - {pod["metadata"]["name"] for pod in serving.pods()}
        serving.wait_for_end({leaving})

    assert_that_nothing_failed(under_load(scale_down))
    assert set(serving.ready_pods()) < more


def test_a_pod_that_is_deleted(serving: Release) -> None:
    stays, deleted = serving.ready_pods()

    def delete() -> None:
        serving.namespace.kubectl("delete", "pod", deleted, "--timeout=120s")
        wait_for(lambda: len(serving.ready_pods()) == PODS, "another ready pod", timeout=120)

    assert_that_nothing_failed(under_load(delete))
    assert stays in serving.ready_pods()
    assert deleted not in serving.ready_pods()


def nodes_of_pods(release: Release) -> set[str]:
    return {pod["spec"]["nodeName"] for pod in release.pods()}


def test_each_node_drained_in_turn(serving: Release) -> None:
    """The second holds all pods of the release by then: the disruption budget must let them go one after the other."""
    nodes = [
        node["metadata"]["name"]
        for node in json.loads(kubectl("get", "nodes", "--output", "json"))["items"]
        if not any(taint["effect"] == "NoSchedule" for taint in node["spec"].get("taints", []))
    ]
    assert len(nodes) >= 2, "nobody would take the pods of a node that is drained"
    for node in nodes:
        old = set(serving.ready_pods())

        def drain(node: str = node) -> None:
            try:
                kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s", timeout=330)
                wait_for(lambda: len(serving.ready_pods()) == PODS, "ready pods on other nodes", timeout=120)
                assert node not in nodes_of_pods(serving)
            finally:
                kubectl("uncordon", node)

        assert_that_nothing_failed(under_load(drain))
    assert not old & set(serving.ready_pods())


# In the pod: stops the worker that has the most clients, so that their number cannot change, counts them and kills it.
KILL = """
import os, signal
def clients(pid):
    held = {os.readlink(file.path) for file in os.scandir(f"/proc/{pid}/fd")}
    lines = [line.split() for line in open("/proc/net/tcp")][1:]
    return sum(local.endswith(":1F40") and f"socket:[{inode}]" in held for _, local, _, state, *_, inode in (line[:10] for line in lines))
workers = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1] == "1"]
worker = max(workers, key=clients)
os.kill(worker, signal.SIGSTOP)
held = clients(worker)
os.kill(worker, signal.SIGKILL)
print(len(workers), held)
"""


def test_a_worker_that_is_killed_takes_only_its_own_requests_along(serving: Release) -> None:
    pods = serving.ready_pods()
    victim = pods[0]
    printed = ""

    def kill() -> None:
        nonlocal printed
        printed = serving.namespace.kubectl("exec", victim, "--", "python", "-c", KILL)
        with serving.namespace.forward(f"pod/{victim}", 8000) as address:

            def figures() -> str:
                return httpx.get(f"http://{address}/metrics").text

            wait_for(lambda: "\nslipway_worker_restarts_total 1.0\n" in figures() and "\nslipway_workers 2.0\n" in figures(), "a new worker")
        wait_for(lambda: serving.ready_pods() == pods, "the pod's readiness")

    load = under_load(kill)
    workers, clients = map(int, printed.split())
    assert (workers, set(load.answers)) == (2, {200})
    assert 0 < clients <= load._connections
    assert load.failures.total() <= clients
    (status,) = (pod["status"]["containerStatuses"][0] for pod in serving.pods() if pod["metadata"]["name"] == victim)
    assert status["restartCount"] == 0
