"""The situations that the alerts are for, each in a release of its own and all at once; together they give every
panel its data.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import yaml
from sklearn.base import BaseEstimator

from tests.cluster.kubernetes import CHART, Namespace, Object, Release, helm, wait_for
from tests.support.estimators import Raising, Slow
from tests.support.load import Load, post

CODE = "/opt/code"
# Short, for the test's sake. The latency is one that no pod reaches by starting next to others on a small machine.
RULES = {"window": "20s", "for": "10s", "latencySeconds": 2.5}


class Situation(NamedTuple):
    name: str
    alert: str
    values: dict[str, Any]
    requests: Sequence[bytes] = ()  # each is sent again and again on `connections` connections
    connections: int = 1

    def rules(self, namespace: Namespace) -> list[Object]:
        return rules(Release(namespace, self.name), **RULES)


def stub(kind: str, **values: Any) -> dict[str, Any]:
    """Values for a model of tests/support/estimators.py, whose code the pods need, too; see `prepare`."""
    return {
        "models": [{"name": kind, "source": {"configMap": {"name": kind}}}],
        "extraEnv": [{"name": "PYTHONPATH", "value": CODE}],
        "extraVolumes": [{"name": "code", "configMap": {"name": "code"}}],
        "extraVolumeMounts": [{"name": "code", "mountPath": f"{CODE}/tests/support"}],
        **SMALL,
        **values,
    }


# Many pods on a small cluster; probed each second, for a short window needs several probes.
SMALL = {
    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
    "readinessProbe": {"periodSeconds": 1},
}
MONITORED = "late"  # found by a PodMonitor, the others by their annotations
IN_THREADS = {"modelSettings": {"slow": {"execution": "thread"}}}
# The migration finds a database, a file of its own pod; the pods that serve find none.
ADDRESSES = {"url": "postgresql://serving:secret@127.0.0.1:9/predictions", "owner": "sqlite:////tmp/predictions.db"}
UNLOGGED = {"predictionLog": {"durability": "async", "database": {"existingSecret": "addresses", "ownerKey": "owner"}}}

SITUATIONS = [
    Situation(
        "failing",
        "SlipwayErrorRatio",
        stub("raising"),
        [
            post("/predict", {"features": [1, 0]}),
            post("/predict", {"features": [1]}),
            post("/predict-cached", {"features": [0, 0]}),
        ],
    ),
    Situation(
        MONITORED,
        "SlipwayLatency",
        stub("slow", **IN_THREADS, metrics={"annotations": False}),
        [post("/predict", {"features": [4, 0]})],
        2,
    ),
    Situation(
        "full",
        "SlipwaySaturated",
        stub("slow", **IN_THREADS, config={"maxInFlight": 1}),
        [post("/predict", {"features": [0.5, 0]})],
        4,
    ),
    Situation("broken", "SlipwayNotReady", stub("broken")),
    Situation("dying", "SlipwayWorkerRestarts", SMALL),
    Situation(
        "unlogged",
        "SlipwayLogDatabaseAway",
        {**SMALL, **UNLOGGED},
        [post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})],
    ),
]


def rules(release: Release, **settings: Any) -> list[Object]:
    """The groups of the chart's PrometheusRule, each alert labelled with the release."""
    rule = {"enabled": True, "alertLabels": {"release": release.name}, **settings}
    groups: list[Object] = rendered(release, "prometheusRule", rule)["spec"]["groups"]
    return groups


def pod_monitor(namespace: Namespace) -> Object:
    """The chart's, of the release that has no annotations."""
    return rendered(Release(namespace, MONITORED), "podMonitor", {"enabled": True})


def rendered(release: Release, kind: str, settings: dict[str, Any]) -> Object:
    """One object of the Prometheus operator, as the chart renders it: nothing acts on it in the test's cluster."""
    command = ["template", release.name, str(CHART), "--namespace", release.namespace.name, "--values", "-"]
    text = helm(
        *command, "--show-only", f"templates/{kind.lower()}.yaml", stdin=yaml.safe_dump({"metrics": {kind: settings}})
    )
    found: Object = yaml.safe_load(text)
    return found


def prepare(namespace: Namespace, folder: Path) -> None:
    """The ConfigMaps with the models, one of which is none, and their code; the Secret with the addresses of a log's
    database.
    """
    estimators: dict[str, BaseEstimator] = {"slow": Slow().fit(), "raising": Raising().fit()}
    for name in (*estimators, "broken"):
        model = folder / name / "model.joblib"
        model.parent.mkdir()
        if name in estimators:
            joblib.dump(estimators[name], model)
        else:
            model.write_bytes(b"no pickle")
        namespace.config_map(name, model)
    namespace.kubectl(
        "create", "secret", "generic", "addresses", *(f"--from-literal={key}={url}" for key, url in ADDRESSES.items())
    )
    namespace.config_map("code", Path(__file__).parents[1] / "support/estimators.py")


@contextmanager
def all_at_once(namespace: Namespace) -> Iterator[None]:
    """Until the block is left. The requests go through a port-forward to each release."""
    releases = {situation.name: Release(namespace, situation.name) for situation in SITUATIONS}
    for situation in SITUATIONS:
        releases[situation.name].install(situation.values, wait=False)
    for name, release in releases.items():
        if name != "broken":
            wait_for(release.ready_pods, f"a ready pod of {name}", timeout=180)
    with ExitStack() as stack:
        loads = []
        for situation in SITUATIONS:
            if situation.requests:
                address = stack.enter_context(namespace.forward(f"service/{releases[situation.name].fullname}"))
                host, port = address.split(":")
                loads += [
                    Load(host, int(port), request, connections=situation.connections, pause=0.1)
                    for request in situation.requests
                ]
        stack.enter_context(sent(loads))
        stack.enter_context(dying_workers(releases["dying"]))
        yield


@contextmanager
def sent(loads: Sequence[Load]) -> Iterator[None]:
    """The loads run in a thread meanwhile."""
    stopped = threading.Event()

    async def send() -> None:
        async with AsyncExitStack() as stack:
            for load in loads:
                await stack.enter_async_context(load)
            await asyncio.to_thread(stopped.wait)

    thread = threading.Thread(target=asyncio.run, args=(send(),))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


KILL = """
import os, signal
from pathlib import Path
for entry in Path("/proc").glob("[0-9]*"):
    if (entry / "stat").read_text().rsplit(")", 1)[1].split()[1] == "1":
        os.kill(int(entry.name), signal.SIGKILL)
        print(entry.name)
"""
DEATHS = 4  # more than the two that are no alert


@contextmanager
def dying_workers(release: Release) -> Iterator[None]:
    """Has had workers die, each of its own."""
    (pod,) = release.ready_pods()
    killed: set[str] = set()

    def kill() -> bool:
        killed.update(release.namespace.kubectl("exec", pod, "--", "python", "-c", KILL).split())
        return len(killed) >= DEATHS

    wait_for(kill, f"the death of {DEATHS} workers", interval=1)
    yield
