from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.image.container import Container


@pytest.fixture
def start() -> Iterator[Callable[..., Container]]:
    """Starts a container with further options of `docker run`; it is removed after the test."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(Container(*options))


@pytest.fixture(scope="session")
def server() -> Iterator[Container]:
    """One server that is ready, for tests that only ask it something."""
    with Container() as container:
        container.wait_until_ready()
        yield container
