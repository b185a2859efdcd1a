"""kubectl and helm as a user types them, against whatever cluster kubectl points at."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "slipway"
NODE_ADDRESS = os.environ.get("NODE_ADDRESS", "127.0.0.1:8080")  # where port 30080 of a node is reached
IMAGE = os.environ.get("IMAGE", "slipway:dev")  # on the nodes
ROW = {"features": [5.1, 3.5, 1.4, 0.2]}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

Object = dict[str, Any]
Values = Mapping[str, Any]
T = TypeVar("T")


class CommandFailed(Exception):
    """A command exited with another code than 0; the text is what it printed."""


def run(*command: str, stdin: str | None = None, timeout: float = 180) -> str:
    """What it prints. Raises CommandFailed."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 180) -> str:
    return run("kubectl", *arguments, stdin=stdin, timeout=timeout)


def helm(*arguments: str, stdin: str | None = None, timeout: float = 300) -> str:
    return run(os.environ.get("HELM", "helm"), *arguments, stdin=stdin, timeout=timeout)


def one_node() -> dict[str, str]:
    """A selector of always the same node, for pods whose volume is a folder of the node that nothing binds them to,
    as kind's are.
    """
    return {"kubernetes.io/hostname": kubectl("get", "nodes", "--output", "jsonpath={.items[-1:].metadata.name}")}


def rollback_on_failure() -> str:
    """The flag of `helm upgrade`, by helm's version."""
    return "--rollback-on-failure" if helm("version", "--template", "{{.Version}}").startswith("v4") else "--atomic"


def wait_for(condition: Callable[[], T], what: str, timeout: float = 60, interval: float = 0.2) -> T:
    """The condition's first true value. Raises TimeoutError naming what did not come, and what the condition last
    said.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {timeout:g} s; the last answer was {value!r}")
        time.sleep(interval)
    return value


class Namespace:
    """A namespace of a test's own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self, labels: Mapping[str, str] = RESTRICTED) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": dict(labels)}}
        kubectl("create", "--filename", "-", stdin=yaml.safe_dump(namespace))

    def delete(self) -> None:
        """Without waiting for its end, but its node ports are free."""
        self.kubectl("delete", "services", "--all")
        kubectl("delete", "namespace", self.name, "--wait=false")

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 180) -> str:
        return kubectl("--namespace", self.name, *arguments, stdin=stdin, timeout=timeout)

    def apply(self, *objects: Object) -> None:
        self.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "--output", "json"))

    def config_map(self, name: str, *files: Path) -> None:
        """As the documentation makes one of a model directory."""
        self.kubectl("create", "configmap", name, *(f"--from-file={file}" for file in files))

    @contextmanager
    def forward(self, target: str, port: int = 80) -> Iterator[str]:
        """The address on this machine under which `target` (such as service/iris-slipway) answers, through kubectl
        port-forward.
        """
        command = ["kubectl", "--namespace", self.name, "port-forward", target, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                match = re.search(r"Forwarding from (127\.0\.0\.1:\d+)", line)
                if match is None:
                    raise CommandFailed(line + process.stdout.read())
                yield match[1]
            finally:
                process.terminate()


class Release:
    """One release of the chart in a namespace. `values` are the only ones: nothing is reused from an earlier
    revision.
    """

    def __init__(self, namespace: Namespace, name: str = "iris") -> None:
        self.namespace = namespace
        self.name = name
        self.fullname = f"{name}-slipway"

    def install(self, values: Values | None = None, *arguments: str, wait: bool = True, timeout: str = "120s") -> str:
        """What helm prints, its notes included."""
        return self._helm("install", values, *arguments, wait=wait, timeout=timeout)

    def upgrade(self, values: Values | None = None, *arguments: str, wait: bool = True, timeout: str = "180s") -> str:
        return self._helm("upgrade", values, *arguments, wait=wait, timeout=timeout)

    def _helm(self, verb: str, values: Values | None, *arguments: str, wait: bool, timeout: str) -> str:
        command = [verb, self.name, str(CHART), "--namespace", self.namespace.name, "--values", "-"]
        command += ["--set", f"image.tag={IMAGE.rpartition(':')[2]}"]
        if wait:
            command += ["--wait", "--timeout", timeout]
        return helm(*command, *arguments, stdin=yaml.safe_dump(dict(values or {})))

    def rollback(self, *arguments: str) -> str:
        return helm("--namespace", self.namespace.name, "rollback", self.name, "--wait", *arguments)

    def test(self) -> str:
        return helm("--namespace", self.namespace.name, "test", self.name, "--logs")

    def uninstall(self) -> None:
        """And waits until the last pod has drained, which helm does not."""
        helm("--namespace", self.namespace.name, "uninstall", self.name, "--wait")
        self.namespace.kubectl(
            "wait", "--for=delete", "pod", "--selector", f"app.kubernetes.io/instance={self.name}", "--timeout=120s"
        )

    @property
    def status(self) -> Any:
        """Revision and state, as `helm status` has them."""
        return json.loads(helm("--namespace", self.namespace.name, "status", self.name, "--output", "json"))

    def pods(self) -> list[Object]:
        """The server's pods that are not about to end."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component=server"
        found: list[Object] = self.namespace.get("pods", "--selector", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.pods()
            if any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in pod["status"].get("conditions", [])
            )
        ]

    def wait_for_end(self, pods: Iterable[str]) -> None:
        """Until these have drained and are gone."""
        self.namespace.kubectl("wait", "--for=delete", *(f"pod/{pod}" for pod in pods), "--timeout=120s")

    def logs(self, pod: str, *arguments: str) -> str:
        return self.namespace.kubectl("logs", pod, *arguments)

    @contextmanager
    def client(self, port: int = 80, scheme: str = "http", **options: Any) -> Iterator[httpx.Client]:
        """A client of the Service, by a port-forward to one of its pods."""
        with (
            self.namespace.forward(f"service/{self.fullname}", port) as address,
            httpx.Client(base_url=f"{scheme}://{address}", timeout=30, **options) as client,
        ):
            yield client
