"""The HTTP API of a Prometheus, and one that runs on this machine."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

Object = dict[str, Any]


class Prometheus:
    """Its HTTP API. Raises AssertionError with Prometheus' own words where it refuses."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def query(self, expression: str) -> list[Object]:
        """The samples of now."""
        found: list[Object] = self._get("/query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float:
        """The one sample's value; 0 where there is none."""
        return sum(float(sample["value"][1]) for sample in self.query(expression))

    def values(self, expression: str, since: float, step: int) -> list[float]:
        """Of all series, from `since` (seconds since 1970) until now."""
        series = self._get("/query_range", query=expression, start=since, end=time.time(), step=step)["result"]
        return [float(value) for each in series for _, value in each["values"]]

    def label_values(self, label: str, metric: str) -> list[str]:
        found: list[str] = self._get(f"/label/{label}/values", **{"match[]": metric})
        return found

    def alerts(self) -> list[Object]:
        found: list[Object] = self._get("/alerts")["alerts"]
        return found

    def groups(self) -> list[Object]:
        """Of rules."""
        found: list[Object] = self._get("/rules")["groups"]
        return found

    def _get(self, path: str, **parameters: Any) -> Any:
        response = self._client.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()["data"]


@contextmanager
def local(
    folder: Path, port: int, targets: Mapping[int, Mapping[str, str]], rules: Sequence[Object]
) -> Iterator[Prometheus]:
    """On 127.0.0.1, with the specs of PrometheusRules: scrapes the servers on these ports each second, under the labels
    that a cluster would give them.
    """
    files = []
    for place, spec in enumerate(rules):
        files.append(folder / f"rules-{place}.yaml")
        files[-1].write_text(yaml.safe_dump(spec))
    pods = [{"targets": [f"127.0.0.1:{target}"], "labels": dict(labels)} for target, labels in targets.items()]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(file) for file in files],
        "scrape_configs": [{"job_name": "pods", "static_configs": pods}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30) as client:
                _wait_until_ready(client, process)
                yield Prometheus(client)
        finally:
            process.terminate()


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.get("/status/config").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("Prometheus does not answer: its log says why")
