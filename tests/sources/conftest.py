"""Real servers of what models are fetched from, each on a port of its own of 127.0.0.1, with models in them."""

import base64
import contextlib
import datetime
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import skops.io
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from slipway.packing.pack import pack

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
AZURITE = "devstoreaccount1"  # Azurite's built-in account, whose key is published
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
X, Y = load_iris(return_X_y=True)


class Place(NamedTuple):
    """An address of the folder of models, what the environment needs for it, and where the server listens."""

    address: str
    environment: dict[str, str]
    port: int


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path, **environment: str) -> Iterator[None]:
    """A program until the end of the block, once its port takes connections."""
    program = shutil.which(command[0])
    assert program is not None, f"{command[0]} is missing: `make sources-test` says where to get it"
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=folder,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                ended = process.poll() is not None or time.monotonic() > deadline
                assert not ended, (folder / "output").read_text()[-2000:]
                time.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def packed(folder: Path, version: str = "1") -> Path:
    """The models folder, with iris in this version."""
    estimator = LogisticRegression(C=float(version), max_iter=1000).fit(X, Y)
    skops.io.dump(estimator, folder / "model.skops")
    pack(folder / "model.skops", name="iris", version=version, output=folder / "models")
    return folder / "models"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("packed"))


def files_of(models: Path) -> dict[str, bytes]:
    return {str(path.relative_to(models)): path.read_bytes() for path in models.rglob("*") if path.is_file()}


@pytest.fixture
def s3(tmp_path: Path, models: Path) -> Iterator[Place]:
    port, folder = free_port(), tmp_path / "s3"
    for name in ("iam", "data/bucket"):
        (folder / name).mkdir(parents=True)
    keys = {"ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": "testsecret"}
    command = ["versitygw", "--port", f"127.0.0.1:{port}", "--quiet", "--iam-dir", str(folder / "iam")]
    with running([*command, "posix", str(folder / "data")], port, folder, **keys):
        environment = {
            "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "testsecret",
        }
        put_s3(environment, models)
        yield Place("s3://bucket/models", environment, port)


def put_s3(environment: dict[str, str], models: Path) -> None:
    from obstore.store import S3Store

    store = S3Store(
        "bucket",
        endpoint=environment["AWS_ENDPOINT"],
        region="us-east-1",
        access_key_id="test",
        secret_access_key="testsecret",
        client_options={"allow_http": True},
    )
    for name, content in files_of(models).items():
        store.put(f"models/{name}", content)


@pytest.fixture
def gcs(tmp_path: Path, models: Path) -> Iterator[Place]:
    port, folder = free_port(), tmp_path / "gcs"
    folder.mkdir()
    address = f"http://127.0.0.1:{port}"
    command = ["fake-gcs-server", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    public = ["-public-host", f"127.0.0.1:{port}", "-external-url", address]
    with running([*command, *public], port, folder):
        post(f"{address}/storage/v1/b", json.dumps({"name": "bucket"}).encode(), "application/json")
        for name, content in files_of(models).items():
            quoted = urllib.parse.quote(f"models/{name}", safe="")
            post(f"{address}/upload/storage/v1/b/bucket/o?uploadType=media&name={quoted}", content, "application/x")
        key = {
            "gcs_base_url": address,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        yield Place(
            "gs://bucket/models", {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key), "GOOGLE_ALLOW_HTTP": "true"}, port
        )


def post(url: str, body: bytes, kind: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind})).close()


@pytest.fixture
def azure(tmp_path: Path, models: Path) -> Iterator[Place]:
    from obstore.store import AzureStore

    port, folder = free_port(), tmp_path / "azure"
    folder.mkdir()
    command = ["azurite-blob", "--silent", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    with running([*command, "--location", str(folder)], port, folder):
        endpoint = f"http://127.0.0.1:{port}/{AZURITE}"
        make_container(endpoint)
        store = AzureStore(
            "container",
            account_name=AZURITE,
            account_key=AZURITE_KEY,
            endpoint=endpoint,
            client_options={"allow_http": True},
        )
        for name, content in files_of(models).items():
            store.put(f"models/{name}", content)
        environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": AZURITE,
            "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY,
            "AZURE_ENDPOINT": endpoint,
            "AZURE_ALLOW_HTTP": "true",
        }
        yield Place("az://container/models", environment, port)


def make_container(endpoint: str) -> None:
    """obstore makes none: one signed request, by the documented scheme."""
    date = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06"}
    canonical = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    text = "PUT\n" + "\n" * 11 + canonical + f"/{AZURITE}/{AZURITE}/container\nrestype:container"
    signature = base64.b64encode(hmac.new(base64.b64decode(AZURITE_KEY), text.encode(), hashlib.sha256).digest())
    headers["Authorization"] = f"SharedKey {AZURITE}:{signature.decode()}"
    asked = urllib.request.Request(f"{endpoint}/container?restype=container", method="PUT", headers=headers)
    urllib.request.urlopen(asked).close()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Place]:
    port, folder = free_port(), tmp_path / "registry"
    folder.mkdir()
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(settings))
    with running(["registry", "serve", str(folder / "config.yml")], port, folder, OTEL_TRACES_EXPORTER="none"):
        yield Place(f"oci://127.0.0.1:{port}/models/iris:1", {}, port)


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    port, folder = free_port(), tmp_path_factory.mktemp("mlflow")
    quiet = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    with running([*command, *stores, "--serve-artifacts"], port, folder, **quiet):
        address = f"http://127.0.0.1:{port}"
        python = Path(shutil.which("mlflow") or "").resolve().parent / "python"
        subprocess.run(
            [str(python), str(Path(__file__).parent / "register.py"), address],
            check=True,
            env=os.environ | quiet,
            cwd=folder,
            capture_output=True,
        )
        yield Place("models:/iris@champion", {"MLFLOW_TRACKING_URI": address}, port)


def slipway(*arguments: object, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """The command line in a process of its own, which has these credentials and no others."""
    others = ("AWS_", "AZURE_", "GOOGLE_", "MLFLOW_", "SLIPWAY_", "DOCKER_CONFIG")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return subprocess.run(
        [sys.executable, "-m", "slipway", *map(str, arguments)],
        env=inherited | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def fetch(place: Place, cache: Path, *more: object, **environment: Any) -> "subprocess.CompletedProcess[str]":
    return slipway("fetch", place.address, "--fetch-cache", cache, *more, environment=place.environment | environment)
