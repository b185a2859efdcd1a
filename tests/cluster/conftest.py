"""Fixtures: a cluster that answers and has the image, namespaces that enforce the restricted standard, packed
models.
"""

import itertools
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipway.packing.example_models import train_and_pack
from tests.cluster.kubernetes import RESTRICTED, CommandFailed, Namespace, Release, helm, kubectl

_numbers = itertools.count(1)
_run = secrets.token_hex(2)


@pytest.fixture(scope="session", autouse=True)
def cluster() -> str:
    """Its Kubernetes version. Fails, and does not skip, where there is none."""
    try:
        version = json.loads(kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"]
        helm("version")
    except (CommandFailed, OSError) as error:
        pytest.exit(
            "These tests need helm, and kubectl with a cluster (make kind-up kind-load prometheus-image "
            f"postgresql-image): {error}",
            returncode=1,
        )
    return str(version)


@contextmanager
def created(labels: Mapping[str, str] = RESTRICTED) -> Iterator[Namespace]:
    namespace = Namespace(f"slipway-test-{_run}-{next(_numbers)}")
    namespace.create(labels)
    try:
        yield namespace
    finally:
        namespace.delete()


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """Enforces the restricted Pod Security Standard; gone after the test."""
    with created() as namespace:
        yield namespace


@pytest.fixture
def lax_namespace() -> Iterator[Namespace]:
    """Lets pods do what they like."""
    with created(labels={}) as namespace:
        yield namespace


@pytest.fixture(scope="module")
def shared_namespace() -> Iterator[Namespace]:
    """As `namespace`, for all tests of a module."""
    with created() as namespace:
        yield namespace


@pytest.fixture(scope="module")
def shared_lax_namespace() -> Iterator[Namespace]:
    """As `lax_namespace`, for all tests of a module."""
    with created(labels={}) as namespace:
        yield namespace


@pytest.fixture
def release(namespace: Namespace) -> Release:
    """Not installed yet; it goes with its namespace."""
    return Release(namespace)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of an example, packed here by the same version of scikit-learn as the image holds."""
    folder = tmp_path_factory.mktemp("models")

    def pack(name: str) -> Path:
        directory = folder / name / "1"
        if not directory.exists():
            train_and_pack(name, folder)
        return directory

    return pack


@pytest.fixture(scope="session")
def operators() -> None:
    """The resource types of prometheus-operator, Gateway API and KEDA."""
    wanted = ("servicemonitors.monitoring.coreos.com", "httproutes.gateway.networking.k8s.io", "scaledobjects.keda.sh")
    try:
        kubectl("get", "customresourcedefinitions", *wanted)
    except CommandFailed as error:
        pytest.fail(f"Install the resource types of prometheus-operator, Gateway API and KEDA first: {error}")
