"""With keys, TLS and the prediction log switched on: what a team does to a release in a year, and what is done to it.
32 kept-alive connections through the node port meanwhile, as in test_traffic.py.
"""

import base64
import json
import shutil
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from tests.cluster.database import SECRET, Database
from tests.cluster.kubernetes import CHART, NODE_ADDRESS, ROW, CommandFailed, Namespace, Release, kubectl, run, wait_for
from tests.cluster.traffic import assert_that_clients_moved_and_nothing_failed, assert_that_nothing_failed, under_load
from tests.support.certificate import self_signed
from tests.support.load import Load

OLD, NEW = "old-key", "new-key"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "ci" / "nodeport-values.yaml").read_text()) | {
    "config": {"workers": 2},
    "apiKeys": {"existingSecret": "clients"},
    "tls": {"existingSecret": "served"},
}
LOG = {
    "predictionLog": {
        "durability": "spooled",
        "database": {"existingSecret": SECRET, "key": "serving", "ownerKey": "owner"},
    }
}
PODS = VALUES["replicaCount"]
AWAY = 15.0  # seconds without a database
LONGEST = 5.0  # seconds in which a pod whose master is killed fails requests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Serving(NamedTuple):
    release: Release
    database: Database
    tls: ssl.SSLContext

    def under_load(self, operation: Callable[[], object], key: str = OLD) -> Load:
        return under_load(self.release, operation, key=key, tls=self.tls)


@pytest.fixture(scope="module")
def serving(
    shared_namespace: Namespace, shared_lax_namespace: Namespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """Two pods of two workers each, without the log at first. Every test leaves two pods that are ready."""
    database = Database(shared_lax_namespace)
    database.start(shared_namespace)
    set_certificate(shared_namespace, tmp_path_factory.mktemp("first"))
    set_keys(shared_namespace, {"shop": OLD})
    release = Release(shared_namespace)
    release.install(VALUES)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    yield Serving(release, database, tls)
    release.uninstall()  # a node port is the cluster's


def set_secret(namespace: Namespace, name: str, kind: str, content: Mapping[str, str]) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": encoded})


def set_keys(namespace: Namespace, keys: Mapping[str, str]) -> None:
    set_secret(namespace, "clients", "Opaque", keys)


def set_certificate(namespace: Namespace, folder: Path) -> str:
    """Another one each time; what it is, as PEM."""
    certificate, key = self_signed(folder, "DNS:iris")
    files = {"tls.crt": certificate.read_text(), "tls.key": key.read_text()}
    set_secret(namespace, "served", "kubernetes.io/tls", files)
    return files["tls.crt"]


def status(key: str) -> int:
    return httpx.post(f"https://{NODE_ADDRESS}/predict", json=ROW, headers={"X-API-Key": key}, verify=False).status_code


def test_the_log_is_switched_on_and_its_tables_are_made(serving: Serving) -> None:
    release, old = serving.release, set(serving.release.ready_pods())

    def switch_on() -> None:
        release.upgrade(VALUES | LOG)
        release.wait_for_end(old)

    load = serving.under_load(switch_on)
    assert_that_clients_moved_and_nothing_failed(load)
    serving.database.wait_for_keys(set(load.keys))
    assert load.keys


def test_the_database_is_away_for_a_while(serving: Serving) -> None:
    pods = serving.release.ready_pods()

    def stop_and_start() -> None:
        serving.database.stop()
        back = time.monotonic() + AWAY
        wait_for(lambda: time.monotonic() > back, "the end of the outage")
        serving.database.restart()

    load = serving.under_load(stop_and_start)
    assert_that_nothing_failed(load)
    assert len(load.keys) == load.total
    serving.database.wait_for_keys(set(load.keys), timeout=120)
    stored = Counter(serving.database.stored())
    assert {key: stored[key] for key in load.keys if stored[key] != 1} == {}
    assert serving.release.ready_pods() == pods


def test_a_model_is_updated_by_a_config_map_and_a_broken_one_is_not(
    serving: Serving, packed: Callable[[str], Path], tmp_path: Path
) -> None:
    release, directory = serving.release, tmp_path / "2"
    shutil.copytree(packed("iris"), directory)
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest | {"version": "2"}))
    broken = tmp_path / "model.joblib"
    broken.write_bytes((directory / "model.joblib").read_bytes() + b"\0")
    release.namespace.config_map("iris-2", directory)
    release.namespace.config_map("iris-3", broken, directory / "manifest.json")

    def values(config_map: str) -> dict[str, Any]:
        source = {"configMap": {"name": config_map}}
        return VALUES | LOG | {"models": [{"name": "iris", "version": "2", "source": source}]}

    def update() -> None:
        old = release.ready_pods()
        release.upgrade(values("iris-2"))
        release.wait_for_end(old)

    assert_that_clients_moved_and_nothing_failed(serving.under_load(update))
    pods = release.ready_pods()

    def fail() -> None:
        with pytest.raises(CommandFailed):
            release.upgrade(values("iris-3"), timeout="20s")
        assert set(pods) <= set(release.ready_pods())
        release.rollback()

    assert_that_nothing_failed(serving.under_load(fail))

    def back() -> None:
        old = release.ready_pods()
        release.upgrade(VALUES | LOG)
        release.wait_for_end(old)

    assert_that_clients_moved_and_nothing_failed(serving.under_load(back))


def test_a_pod_is_evicted(serving: Serving) -> None:
    release = serving.release
    pod = release.ready_pods()[0]

    def evict() -> None:
        metadata = {"name": pod, "namespace": release.namespace.name}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{release.namespace.name}/pods/{pod}/eviction"
        kubectl("create", "--raw", path, "--filename", "-", stdin=json.dumps(eviction))
        release.wait_for_end([pod])
        wait_for(lambda: len(release.ready_pods()) == PODS, "another ready pod", timeout=120)

    assert_that_clients_moved_and_nothing_failed(serving.under_load(evict))


def test_a_renewed_certificate_is_served_by_the_same_pods(serving: Serving, tmp_path: Path) -> None:
    release = serving.release
    pods = release.ready_pods()

    def shown(pod: str) -> str:
        with release.namespace.forward(f"pod/{pod}", 8000) as address:
            host, port = address.split(":")
            return ssl.get_server_certificate((host, int(port)))

    def renew() -> None:
        renewed = set_certificate(release.namespace, tmp_path)
        for pod in pods:  # the kubelet changes the files within a minute or two
            wait_for(lambda: shown(pod) == renewed, f"the new certificate of {pod}", timeout=180, interval=2)  # noqa: B023

    assert_that_nothing_failed(serving.under_load(renew))
    assert release.ready_pods() == pods


def test_a_key_is_changed_while_the_old_one_and_the_new_one_are_valid(serving: Serving) -> None:
    release = serving.release

    def give(keys: Mapping[str, str]) -> None:
        old = release.ready_pods()
        set_keys(release.namespace, keys)
        release.namespace.kubectl("rollout", "restart", f"deployment/{release.fullname}")
        release.namespace.kubectl("rollout", "status", f"deployment/{release.fullname}", "--timeout=120s")
        release.wait_for_end(old)

    assert_that_clients_moved_and_nothing_failed(serving.under_load(lambda: give({"shop": OLD, "shop-2": NEW})))
    assert_that_clients_moved_and_nothing_failed(serving.under_load(lambda: give({"shop-2": NEW}), key=NEW))
    assert {status(OLD) for _ in range(8)} == {401}


def test_a_master_that_is_killed_costs_its_pod_some_seconds(serving: Serving) -> None:
    """Nothing in a container may kill its first process: the node does, as it would for want of memory."""
    release = serving.release
    pod = release.pods()[0]
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")

    def restarts() -> int:
        (found,) = (each for each in release.pods() if each["metadata"]["name"] == name)
        return int(found["status"]["containerStatuses"][0]["restartCount"])

    def kill() -> None:
        found = run("docker", "exec", node, "sh", "-c", f"grep --files-with-matches {container} /proc/[0-9]*/cgroup")
        master = min(int(path.split("/")[2]) for path in found.split())  # the first of them
        run("docker", "exec", node, "kill", "-9", str(master))
        wait_for(lambda: restarts() == 1, "the container's restart")
        wait_for(lambda: len(release.ready_pods()) == PODS, "the pod's readiness")

    load = serving.under_load(kill, key=NEW)
    assert set(load.answers) == {200}
    took = max(load.failed, default=0.0) - min(load.failed, default=0.0)
    print(f"{load.failures.total()} of {load.total} failed within {took:.1f} s")
    assert took <= LONGEST
