"""The prediction log with a PostgreSQL in the cluster: the hook makes its tables, an outage loses no row, the
maintenance runs.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from tests.cluster.database import SECRET, Database
from tests.cluster.kubernetes import IMAGE, ROW, CommandFailed, Namespace, Release, one_node, wait_for

VALUES: dict[str, Any] = {
    "predictionLog": {
        "durability": "spooled",
        "database": {"existingSecret": SECRET, "key": "serving", "ownerKey": "owner"},
        "retentionDays": 30,
    }
}


class Clients(NamedTuple):
    """What they were answered: how often with each status, and the keys of the rows."""

    statuses: Counter[int]
    keys: set[str]


@contextmanager
def steady_clients(client: httpx.Client) -> Iterator[Clients]:
    """Predict again and again, one request at a time; status 0 is none."""
    seen = Clients(Counter(), set())
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.wait(0.02):
            try:
                answer = client.post("/predict", json=ROW)
            except httpx.TransportError:
                seen.statuses[0] += 1
                continue
            seen.statuses[answer.status_code] += 1
            if key := answer.headers.get("X-Prediction-ID"):
                seen.keys.add(key)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


class Logged(NamedTuple):
    release: Release
    database: Database


@pytest.fixture(scope="module")
def logged(shared_namespace: Namespace, shared_lax_namespace: Namespace) -> Logged:
    """A release with the log, whose Secret and database were there before."""
    database, release = Database(shared_lax_namespace), Release(shared_namespace)
    database.start(shared_namespace)
    release.install(VALUES)
    return Logged(release, database)


def jobs(namespace: Namespace) -> list[str]:
    return [job["metadata"]["name"] for job in namespace.get("jobs")["items"]]


def test_the_first_install_makes_the_tables_and_predictions_are_rows_of_them(logged: Logged) -> None:
    release, database = logged
    with release.client() as client:
        key = client.post("/predict", json=ROW).headers["X-Prediction-ID"]
        database.wait_for_keys({key})
        (row,) = database.query(
            f"SELECT model, version, dialect, answer, tableoid::regclass FROM predictions WHERE key = '{key}'"
        )
    model, version, dialect, answer, partition = row.split("|")
    assert (model, version, dialect, answer) == ("iris", "1", "/predict", "0")
    assert partition != "predictions"  # of the day
    assert jobs(release.namespace) == []  # the hook has tidied up


def test_the_role_that_serves_can_neither_change_nor_drop_what_is_logged(logged: Logged) -> None:
    _, database = logged
    granted = database.query(
        "SELECT privilege_type FROM information_schema.role_table_grants WHERE grantee = 'serving' AND table_name = "
        "'predictions'"
    )
    assert set(granted) == {"SELECT", "INSERT"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_outage_of_the_database_fails_no_prediction_and_loses_no_row(logged: Logged) -> None:
    release, database = logged
    pods = release.ready_pods()
    with release.client() as client, steady_clients(client) as seen:
        wait_for(lambda: len(seen.keys) > 50, "predictions before the outage")
        database.kill()
        database.stop()
        before = len(seen.keys)
        wait_for(lambda: len(seen.keys) > before + 100, "predictions during the outage")
        wait_for(lambda: "log" in client.get("/ready").json(), "a word about the log in /ready")
        assert client.get("/ready").status_code == 200
        wait_for(lambda: metric(client, "slipway_log_spool_bytes") > 0, "records in the spool")
        database.restart()
        wait_for(lambda: "log" not in client.get("/ready").json(), "the database to be back", timeout=90)
        after = len(seen.keys)
        wait_for(lambda: len(seen.keys) > after + 50, "predictions after the outage")
    assert seen.statuses.keys() == {200}
    assert len(seen.keys) == seen.statuses[200]
    database.wait_for_keys(seen.keys, timeout=120)
    stored = Counter(database.stored())
    assert {key: stored[key] for key in seen.keys if stored[key] != 1} == {}
    assert release.ready_pods() == pods  # nobody was taken out of service


def metric(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def partitions(database: Database) -> list[str]:
    return database.query(
        "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'predictions'::regclass AND "
        "inhrelid::regclass::text ~ '[0-9]'"
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_upgrade_migrates_again_and_a_pod_that_leaves_writes_its_last_rows(logged: Logged) -> None:
    release, database = logged
    (old,) = release.ready_pods()
    with release.client() as client:
        keys = {client.post("/predict", json=ROW).headers["X-Prediction-ID"] for _ in range(200)}
    ahead = max(partitions(database))
    database.query(f"DROP TABLE {ahead}")
    release.upgrade(VALUES | {"podAnnotations": {"rollout": "2"}})
    assert ahead in partitions(database)  # the hook has made it again
    release.wait_for_end([old])
    database.wait_for_keys(keys)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_migration_that_fails_stops_the_upgrade_and_its_job_stays_with_the_reason(logged: Logged) -> None:
    release, database = logged
    before = release.ready_pods()
    wrong = {"predictionLog": VALUES["predictionLog"] | {"database": {"existingSecret": "typo"}}}
    release.namespace.kubectl(
        "create", "secret", "generic", "typo", f"--from-literal=url={database.address('owner', 'wrong')}"
    )
    with pytest.raises(CommandFailed, match="it refuses the user or the password"):
        release.upgrade(wrong, timeout="20s")
    assert release.ready_pods() == before
    reason = release.namespace.kubectl("logs", f"job/{release.fullname}-log-migrate")
    assert "it refuses the user or the password" in reason
    assert "wrong" not in reason
    release.upgrade(VALUES)  # takes the failed Job's place
    assert jobs(release.namespace) == []


@pytest.mark.slow
def test_the_maintenance_drops_what_is_too_old_and_keeps_the_rest(logged: Logged) -> None:
    release, database = logged
    with release.client() as client:
        key = client.post("/predict", json=ROW).headers["X-Prediction-ID"]
    database.wait_for_keys({key})
    columns = "request_id, position, model, version, digest, dialect, features, answer, latency_ms"
    old = "018f0000-0000-7000-8000-000000000000"
    copied = f"SELECT '{old}', now() - interval '40 days', {columns} FROM predictions WHERE key = '{key}'"
    database.query(f"INSERT INTO predictions (key, time, {columns}) {copied}")
    assert old in database.stored()
    release.namespace.kubectl("create", "job", "--from", f"cronjob/{release.fullname}-log", "now")
    release.namespace.kubectl("wait", "--for=condition=complete", "job/now", "--timeout=60s")
    left = database.stored()
    assert key in left
    assert old not in left


# The cluster's volumes are folders of the node that ignore fsGroup and belong to root.
OWN_VOLUME = {
    "name": "own",
    "image": IMAGE,
    "command": ["python", "-c", "import os; os.chown('/var/lib/slipway', 10001, 10001)"],
    "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
    "volumeMounts": [{"name": "log", "mountPath": "/var/lib/slipway"}],
}


def test_an_sqlite_file_on_a_volume_outlives_its_pod(lax_namespace: Namespace) -> None:
    namespace, release = lax_namespace, Release(lax_namespace)
    values = {
        "strategy": {"type": "Recreate"},
        "predictionLog": {"durability": "async", "persistence": {"create": True, "size": "2Gi"}},
        "extraInitContainers": [OWN_VOLUME],
        "nodeSelector": one_node(),
    }
    release.install(values)
    with release.client() as client:
        key = client.post("/predict", json=ROW).headers["X-Prediction-ID"]
    (pod,) = release.ready_pods()
    namespace.kubectl("delete", "pod", pod)  # it writes its last rows
    (successor,) = wait_for(release.ready_pods, "another ready pod")
    script = (
        "import sqlite3; print([key for key, in sqlite3.connect('/var/lib/slipway/predictions.db').execute('SELECT key "
        "FROM predictions')])"
    )
    assert key in namespace.kubectl("exec", successor, "--", "python", "-c", script)
    namespace.kubectl("create", "job", "--from", f"cronjob/{release.fullname}-log", "now")
    namespace.kubectl("wait", "--for=condition=complete", "job/now", "--timeout=60s")
