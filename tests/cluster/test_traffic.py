"""Whatever is done to a release on purpose, no request fails: 32 kept-alive connections through the node port
meanwhile.

The load goes to the environment's NODE_ADDRESS, under which port 30080 of a node is reached: 127.0.0.1:8080 unless set,
where deploy/kind.yaml maps it. No other release may hold that port, and draining nodes evicts other pods from them,
too.
"""

from collections import Counter
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster.kubernetes import CHART, NODE_ADDRESS, ROW, Namespace, Release, kubectl, wait_for
from tests.cluster.traffic import CONNECTIONS, assert_that_clients_moved_and_nothing_failed, under_load

VALUES: dict[str, Any] = yaml.safe_load((CHART / "ci" / "nodeport-values.yaml").read_text()) | {
    "config": {"workers": 2}
}
PODS = VALUES["replicaCount"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def serving(shared_namespace: Namespace) -> Release:
    """Two pods of two workers each. Every test leaves two pods that are ready."""
    release = Release(shared_namespace)
    release.install(VALUES)
    return release


def test_a_rolling_upgrade_and_its_rollback(serving: Release) -> None:
    def annotations() -> list[str | None]:
        return [pod["metadata"]["annotations"].get("example.org/build") for pod in serving.pods()]

    first, revision = set(serving.ready_pods()), serving.status["version"]

    def upgrade() -> None:
        serving.upgrade(VALUES | {"podAnnotations": {"example.org/build": "2"}})
        serving.wait_for_end(first)

    assert_that_clients_moved_and_nothing_failed(under_load(serving, upgrade))
    second = set(serving.ready_pods())
    assert (len(second), first & second, serving.status["version"]) == (PODS, set(), revision + 1)
    assert annotations() == ["2"] * PODS

    def rollback() -> None:
        serving.rollback()
        serving.wait_for_end(second)

    assert_that_clients_moved_and_nothing_failed(under_load(serving, rollback))
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

    assert_that_clients_moved_and_nothing_failed(under_load(serving, allow_one_row))
    assert not old & set(serving.ready_pods())
    assert {status_of_two_rows() for _ in range(8)} == {413}


def test_scaling_down(serving: Release) -> None:
    serving.upgrade(VALUES | {"replicaCount": PODS + 1})
    more = set(serving.ready_pods())
    assert len(more) == PODS + 1

    def scale_down() -> None:
        serving.upgrade(VALUES)
        wait_for(lambda: len(serving.pods()) == PODS, "the first pod's leaving")  # Helm 3 does not wait for it
        serving.wait_for_end(more - {pod["metadata"]["name"] for pod in serving.pods()})

    assert_that_clients_moved_and_nothing_failed(under_load(serving, scale_down))
    assert set(serving.ready_pods()) < more


def test_a_pod_that_is_deleted(serving: Release) -> None:
    deleted, stays = serving.ready_pods()[:PODS]

    def delete() -> None:
        serving.namespace.kubectl("delete", "pod", deleted, "--timeout=120s")
        wait_for(lambda: len(serving.ready_pods()) == PODS, "another ready pod", timeout=120)

    assert_that_clients_moved_and_nothing_failed(under_load(serving, delete))
    assert stays in serving.ready_pods()
    assert deleted not in serving.ready_pods()


def test_nodes_that_are_drained(serving: Release) -> None:
    """Two in turn. The second has all pods by then, and the disruption budget must let them go one after the other."""
    taints = kubectl(
        "get", "nodes", "--output", "jsonpath={range .items[*]}{.spec.taints[*].effect}{'\\n'}{end}"
    ).splitlines()
    assert sum("NoSchedule" not in effects for effects in taints) >= 2, "no other node would take the pods"
    for _ in range(2):
        places = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in serving.pods()}
        node, held = Counter(places.values()).most_common(1)[0]

        def drain(node: str = node) -> None:
            try:
                kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s", timeout=330)
                wait_for(lambda: len(serving.ready_pods()) == PODS, "ready pods on other nodes", timeout=120)
                assert node not in {pod["spec"]["nodeName"] for pod in serving.pods()}
            finally:
                kubectl("uncordon", node)

        assert_that_clients_moved_and_nothing_failed(under_load(serving, drain))
        assert len(places.keys() - set(serving.ready_pods())) == held
    assert held == PODS


# In the pod: stops the worker that has the most clients, so that their number cannot change, counts them and kills it.
KILL = """
import os, signal
def stat(pid):
    return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
def clients(pid):
    held = {os.readlink(file.path) for file in os.scandir(f"/proc/{pid}/fd")}
    connections = [line.split() for line in open("/proc/net/tcp")][1:]
    served = [fields for fields in connections if fields[1].endswith(":1F40") and fields[3] != "0A"]
    return sum(f"socket:[{fields[9]}]" in held for fields in served)
workers = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and stat(pid)[1] == "1"]
worker = max(workers, key=clients)
os.kill(worker, signal.SIGSTOP)
while stat(worker)[0] != "T":
    pass
held = clients(worker)
os.kill(worker, signal.SIGKILL)
print(len(workers), held)
"""


def test_a_worker_that_is_killed_takes_only_its_own_requests_along(serving: Release) -> None:
    pods = serving.ready_pods()
    victim, printed = pods[0], ""

    def kill() -> None:
        nonlocal printed
        printed = serving.namespace.kubectl("exec", victim, "--", "python", "-c", KILL)
        with serving.namespace.forward(f"pod/{victim}", 8000) as address:

            def replaced() -> bool:
                figures = httpx.get(f"http://{address}/metrics").text.splitlines()
                return "slipway_worker_restarts_total 1.0" in figures and "slipway_workers 2.0" in figures

            wait_for(replaced, "a new worker, and the restart in the metrics")
        wait_for(lambda: serving.ready_pods() == pods, "the pod's readiness")

    load = under_load(serving, kill)
    workers, clients = map(int, printed.split())
    print(f"the worker had {clients} of {CONNECTIONS} clients")
    assert (workers, set(load.answers)) == (2, {200})
    assert 0 < clients < CONNECTIONS
    assert load.failures.total() <= clients
    (container,) = (
        pod["status"]["containerStatuses"][0] for pod in serving.pods() if pod["metadata"]["name"] == victim
    )
    assert container["restartCount"] == 0
