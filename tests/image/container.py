"""Containers of the image under test, run as a cautious platform runs them."""

import json
import os
import subprocess
import time
from datetime import datetime
from typing import Any, Self

import httpx

IMAGE = os.environ.get("IMAGE", "slipway:dev")
COMPILED_IMAGE = f"{IMAGE}-compiled"
RESTRICTED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp")


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def inspect(what: str) -> dict[str, Any]:
    description: dict[str, Any] = json.loads(docker("inspect", what))[0]
    return description


def moment(text: str) -> float:
    """Seconds since the epoch of one of Docker's timestamps."""
    return datetime.fromisoformat(text).timestamp()


class Container:
    """A server in a container, published on a free port of 127.0.0.1."""

    def __init__(self, *options: str, image: str = IMAGE) -> None:
        self.id = docker("run", "--detach", "--publish", "127.0.0.1::8000", *RESTRICTED, *options, image)
        self.url = "http://" + docker("port", self.id, "8000/tcp").splitlines()[0]

    def wait_until_ready(self, seconds: float = 60) -> float:
        """Seconds from the start of the container's process to the first 200 of /ready."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.first_answer("/ready").status_code == 200:
                return time.time() - moment(self.state()["StartedAt"])
            time.sleep(0.01)
        raise AssertionError(f"not ready within {seconds} s:\n{self.logs()}")

    def first_answer(self, path: str, seconds: float = 60) -> httpx.Response:
        """As soon as the server answers at all, whatever the answer is."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                return httpx.get(f"{self.url}{path}", timeout=5)
            except httpx.TransportError:
                assert self.state()["Running"], f"the container stopped:\n{self.logs()}"
            time.sleep(0.01)
        raise AssertionError(f"no answer within {seconds} s:\n{self.logs()}")

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = inspect(self.id)["State"]
        return state

    def logs(self) -> str:
        done = subprocess.run(
            ["docker", "logs", self.id], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self.id)
