"""The HTTP API of a Prometheus."""

import time
from typing import Any

import httpx

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
