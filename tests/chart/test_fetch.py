"""The fetch script, against a real HTTPS server on this machine."""

import hashlib
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import CHART
from tests.support.certificate import self_signed

SCRIPT = CHART / "files" / "fetch.py"
MODEL = b"model" * 1_000_000
SHA = hashlib.sha256(MODEL).hexdigest()


@dataclass
class Artifacts:
    """A server; `redirects` path to URL, `failures` path to how often it answers 503 first."""

    url: str
    redirects: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Authorization


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    certificate, key = self_signed(tmp_path_factory.mktemp("tls"), "DNS:localhost", "IP:127.0.0.1")
    path = certificate.with_name("both.pem")
    path.write_text(key.read_text() + certificate.read_text())
    return path


@pytest.fixture
def artifacts(certificate: Path) -> Iterator[Artifacts]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("Authorization")))
            path = self.path.partition("?")[0]
            if state.failures.get(path, 0):
                state.failures[path] -= 1
                self.send_error(503)
            elif path in state.redirects:
                self.send_response(302)
                self.send_header("Location", state.redirects[path])
                self.end_headers()
            elif path == "/model":
                self.send_response(200)
                self.send_header("Content-Length", str(len(MODEL)))
                self.end_headers()
                self.wfile.write(MODEL)
            else:
                self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        state = Artifacts(f"https://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def fetch(
    tmp_path: Path, certificate: Path, url: str, sha256: str = SHA, **environment: str
) -> subprocess.CompletedProcess[str]:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"path": "churn/3/model.joblib", "url": url, "sha256": sha256}]))
    command = [sys.executable, str(SCRIPT), str(plan), str(tmp_path / "models")]
    environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(certificate), "FETCH_TIMEOUT": "5"} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_it_fetches_and_verifies(tmp_path: Path, certificate: Path, artifacts: Artifacts) -> None:
    done = fetch(tmp_path, certificate, artifacts.url + "/model")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("churn/3/model.joblib: 5000000 bytes in ")
    assert (tmp_path / "models/churn/3/model.joblib").read_bytes() == MODEL


def test_a_container_that_starts_again_fetches_nothing_twice(
    tmp_path: Path, certificate: Path, artifacts: Artifacts
) -> None:
    fetch(tmp_path, certificate, artifacts.url + "/model")
    done = fetch(tmp_path, certificate, artifacts.url + "/model")
    assert done.stdout == "churn/3/model.joblib is there already\n"
    assert len(artifacts.asked) == 1


def test_another_file_than_the_one_expected_never_appears(
    tmp_path: Path, certificate: Path, artifacts: Artifacts
) -> None:
    done = fetch(tmp_path, certificate, artifacts.url + "/model?signature=secret", sha256="0" * 64)
    assert done.returncode == 1
    assert f"its SHA-256 is {SHA}, the values say {'0' * 64}." in done.stderr
    assert "secret" not in done.stderr
    assert list((tmp_path / "models/churn/3").iterdir()) == []


def test_a_server_that_fails_for_a_moment_is_asked_again(
    tmp_path: Path, certificate: Path, artifacts: Artifacts
) -> None:
    artifacts.failures["/model"] = 1
    assert fetch(tmp_path, certificate, artifacts.url + "/model").returncode == 0
    assert len(artifacts.asked) == 2


@pytest.mark.parametrize(("path", "message"), [("/none", "answered 404 Not Found."), ("", "answered 404 Not Found.")])
def test_what_is_not_there_is_said_in_a_sentence(
    tmp_path: Path, certificate: Path, artifacts: Artifacts, path: str, message: str
) -> None:
    done = fetch(tmp_path, certificate, artifacts.url + path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_certificate_of_somebody_else_is_refused(tmp_path: Path, certificate: Path, artifacts: Artifacts) -> None:
    done = fetch(tmp_path, certificate, artifacts.url + "/model", SSL_CERT_FILE="/dev/null")
    assert done.returncode == 1
    assert "cannot be fetched" in done.stderr
    assert "certificate verify failed" in done.stderr


def test_headers_come_from_the_secret(tmp_path: Path, certificate: Path, artifacts: Artifacts) -> None:
    done = fetch(tmp_path, certificate, artifacts.url + "/model", FETCH_HEADERS=str(headers(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert artifacts.asked == [("/model", "Bearer token")]


def test_a_redirect_to_another_host_does_not_get_the_headers(
    tmp_path: Path, certificate: Path, artifacts: Artifacts
) -> None:
    artifacts.redirects["/moved"] = artifacts.url.replace("127.0.0.1", "localhost") + "/model"
    done = fetch(tmp_path, certificate, artifacts.url + "/moved", FETCH_HEADERS=str(headers(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert artifacts.asked == [("/moved", "Bearer token"), ("/model", None)]


def test_a_redirect_to_plain_http_is_refused(tmp_path: Path, certificate: Path, artifacts: Artifacts) -> None:
    artifacts.redirects["/moved"] = artifacts.url.replace("https", "http") + "/model"
    done = fetch(tmp_path, certificate, artifacts.url + "/moved")
    assert done.returncode == 1
    assert "redirects to http, which is not HTTPS." in done.stderr


def headers(tmp_path: Path) -> Path:
    """As a Secret is mounted: the keys, and a link whose name begins with two dots."""
    folder = tmp_path / "headers"
    (folder / "..data").mkdir(parents=True)
    (folder / "Authorization").write_text("Bearer token\n")
    return folder
