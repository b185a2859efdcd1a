"""The largest bodies that are wrong cost a server no more than twice the largest that is right."""

import http.client
import os
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.server.conftest import Start, bare
from tests.server.running import Server
from tests.support.estimators import Wide

MOST = 8 * 1024 * 1024 - 100  # bytes, below what is answered 413 unread
KEY = "019a1b2c-3d4e-7f00-b123-456789a00000"
SLACK = 8 * 1024 * 1024  # bytes of the body itself, which are there in chunks when they are joined


class Cost(NamedTuple):
    status: int
    seconds: float
    bytes: int


def repeated(before: str, part: str, last: str) -> bytes:
    return (before + part * ((MOST - len(before) - len(last)) // len(part)) + last).encode()


def keys() -> bytes:
    return ("{" + ",".join(f'"{i:07x}":0' for i in range(MOST // 12)) + "}").encode()


WRONG = [
    ("/feedback", repeated(f'{{"prediction_id":"{KEY}","outcome":[', "{},", "{}]}")),
    ("/predict", repeated('{"features":[', '"",', '""]}')),
    ("/predict", keys()),
    ("/feedback", keys()),
    ("/predict", repeated('{"instances":', "[", "")),
    ("/models/wide/predict", repeated("", '{"":', "")),
]


def test_no_wrong_body_takes_a_worker_longer_or_more_memory_than_twice_the_dearest_valid_one(
    start: Start, tmp_path: Path
) -> None:
    bare(tmp_path / "models", "wide", Wide().fit())
    server = start(models=tmp_path / "models", workers=1)
    [worker] = server.workers()
    refused = [cost(server, worker, path, body) for path, body in WRONG]
    valid = cost(server, worker, "/predict", repeated('{"features":[', "0,", "0]}"))
    assert valid.status == 200
    assert {each.status for each in refused} <= {413, 422}
    assert max(each.seconds for each in refused) <= 2 * valid.seconds, (refused, valid)
    assert max(each.bytes for each in refused) <= 2 * valid.bytes + SLACK, (refused, valid)
    assert server.workers() == [worker]


def cost(server: Server, worker: int, path: str, body: bytes) -> Cost:
    """CPU time of the worker, and how far its resident set rose."""
    Path(f"/proc/{worker}/clear_refs").write_text("5")
    memory, seconds = resident(worker, "VmRSS"), cpu_seconds(worker)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=100)) as connection:
        connection.request("POST", path, body)
        status = connection.getresponse().status
    return Cost(status, cpu_seconds(worker) - seconds, resident(worker, "VmHWM") - memory)


def resident(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
