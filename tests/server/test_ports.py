"""Where a server listens: on addresses of both kinds, and on a port of its own for the metrics."""

import http.client
import socket
import subprocess
from contextlib import closing

import pytest

from tests.server.conftest import Start
from tests.server.running import Answer, Server, free_port, series


def get(host: str, port: int, path: str, method: str = "GET") -> Answer:
    with closing(http.client.HTTPConnection(host, port, timeout=30)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_two_colons_are_the_addresses_of_both_kinds(start: Start) -> None:
    server = start(host="::")
    assert {get(host, server.port, "/ready").status for host in ("127.0.0.1", "::1")} == {200}


def test_the_metrics_of_all_workers_can_have_a_port_of_their_own_which_predicts_nothing(start: Start) -> None:
    port = free_port()
    server = start(metrics_port=port)
    for _ in range(8):  # both workers
        assert server.predict("iris", [5.1, 3.5, 1.4, 0.2]).status == 200
    found = series(get("127.0.0.1", port, "/metrics").body)
    assert found['slipway_model_requests_total{model="iris",status="2xx",version="1"}'] == 8
    assert found["slipway_workers{}"] == 2
    assert {path: get("127.0.0.1", port, path).status for path in ("/metrics/drift", "/health", "/ready")} == {
        "/metrics/drift": 200,
        "/health": 200,
        "/ready": 200,
    }
    assert {get("127.0.0.1", port, path).status for path in ("/models", "/docs", "/openapi.json")} == {404}
    assert get("127.0.0.1", port, "/predict", "POST").status == 404
    assert {server.get(path).status for path in ("/metrics", "/metrics/drift")} == {404}


def test_a_metrics_port_that_is_taken_is_said_in_one_line(start: Start, server: Server) -> None:
    other = start(metrics_port=server.port, wait=False)
    assert other.process.wait(30) == 1
    assert "choose another with --host (SLIPWAY_HOST) and SLIPWAY_METRICS_PORT" in other.log()[-1]["message"]


def test_a_scrape_of_the_metrics_own_port_ends_a_drain(start: Start) -> None:
    port = free_port()
    server = start(metrics_port=port)
    get("127.0.0.1", port, "/metrics")
    command = [*server._command[:-1], "drain", "--port", str(server.port)]
    draining = subprocess.Popen(command, env=server._environment, stdout=subprocess.PIPE, text=True)
    server.until(lambda: get("127.0.0.1", port, "/ready").status == 503)

    def ended_after_a_scrape() -> bool:
        get("127.0.0.1", port, "/metrics")
        return draining.poll() is not None

    server.until(ended_after_a_scrape)
    assert draining.communicate(timeout=20)[0].endswith(" s: no client connection is left.\n")
