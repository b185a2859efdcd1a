"""The prediction log of the real server in its embedded database, on disks that fill up or cannot be written."""

import asyncio
import contextlib
import os
import secrets
import signal
import sqlite3
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Start
from tests.server.running import Server
from tests.support.ending import EndingContract
from tests.support.load import Load, post

FLOWER = [5.1, 3.5, 1.4, 0.2]
REQUEST = post("/predict", {"features": FLOWER})

may_mount = os.geteuid() == 0
needs_mounts = pytest.mark.skipif(not may_mount, reason="only root may mount a file system that is full or read-only")


def stored(path: Path) -> Counter[str]:
    """Empty where there is no table yet."""
    if not path.exists():
        return Counter()
    with (
        closing(sqlite3.connect(path)) as connection,
        contextlib.suppress(sqlite3.OperationalError, sqlite3.DatabaseError),
    ):
        return Counter(key for (key,) in connection.execute("SELECT key FROM predictions"))
    return Counter()


def run_load(server: Server, answers: int, connections: int = 8) -> Load:
    async def run() -> Load:
        async with Load("127.0.0.1", server.port, REQUEST, connections=connections, pause=0.002) as clients:
            await clients.until(answers)
        return clients

    clients = asyncio.run(run())
    assert clients.answers.keys() == {200}
    assert not clients.failures
    return clients


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("durability", ["async", "spooled", "sync"])
def test_several_workers_keep_each_answer_once_in_one_file(start: Start, durability: str) -> None:
    server = start(log=durability)
    clients = run_load(server, 2000)
    assert len(clients.keys) == clients.total
    server.until(lambda: len(stored(server.database)) == clients.total)
    assert stored(server.database) == Counter(clients.keys.keys())
    server.until(lambda: server.metrics()['slipway_log_records_total{outcome="stored"}'] == clients.total)


class TestEndings(EndingContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/slipway.db"


def test_a_model_is_logged_on_its_own_path_whatever_the_log_is_set_to(start: Start) -> None:
    server = start()
    assert "x-prediction-id" not in server.predict("iris", FLOWER).headers
    assert not server.database.exists()
    answer = server.ask("POST", "/predict-with-logging", {"features": FLOWER})
    assert answer.json() == {"prediction": 0}
    server.until(lambda: stored(server.database) == Counter([answer.headers["x-prediction-id"]]))


def test_a_spool_that_takes_nothing_is_said_at_the_start_and_costs_no_answered_row(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    server = start(log="spooled", log_spool=tmp_path / "file" / "spool")
    server.until(lambda: len(errors(server)) == 2)
    assert all("SLIPWAY_LOG_SPOOL" in line["message"] for line in errors(server))
    server.until(lambda: "spool takes no records" in server.get("/ready").json().get("log", ""))
    clients = run_load(server, 500)
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    assert stored(server.database) == Counter(clients.keys.keys())


@pytest.mark.parametrize("durability", ["async", "spooled", "sync"])
def test_a_database_that_is_deleted_under_the_server_is_made_anew(start: Start, durability: str) -> None:
    server = start(log=durability)
    first = run_load(server, 200)
    server.until(lambda: len(stored(server.database)) == first.total)
    delete(server)
    second = run_load(server, 300)
    server.until(lambda: stored(server.database) == Counter(second.keys.keys()))
    server.until(lambda: "log" not in server.get("/ready").json())
    said = Counter((line["pid"], line["message"]) for line in errors(server))
    assert ["was deleted or replaced" in sentence for _, sentence in said] == [True] * len(said)
    assert set(said.values()) == {1}


def test_a_file_that_is_no_database_and_comes_later_is_told_and_what_it_did_not_take_is_kept(start: Start) -> None:
    server = start(log="async", workers=1)
    first = run_load(server, 200)
    server.until(lambda: len(stored(server.database)) == first.total)
    delete(server)
    server.database.write_text("a poem " * 1000)
    second = run_load(server, 300)
    server.until(lambda: "is not an SQLite database" in server.get("/ready").json().get("log", ""))
    assert [
        sentence in line["message"]
        for sentence, line in zip(("replaced", "not an SQLite"), errors(server), strict=True)
    ] == [
        True,
        True,
    ]
    delete(server)
    server.until(lambda: stored(server.database) == Counter(second.keys.keys()))


def delete(server: Server) -> None:
    for path in server.database.parent.glob("slipway.db*"):
        path.unlink()


def failures(server: Server) -> float:
    """Attempts to reach the database that failed, of all workers."""
    return sum(
        value for name, value in server.metrics().items() if name.startswith("slipway_log_database_failures_total{")
    )


def errors(server: Server) -> list[dict[str, Any]]:
    return [line for line in server.log() if line["level"] == "error"]


@needs_mounts
def test_a_full_disk_is_said_once_and_recovered_from(start: Start, disk: Path) -> None:
    """Of the database and of the spool: beyond what memory may hold records are dropped, and counted."""
    server = start(log="async", log_database=f"sqlite:///{disk}/slipway.db", log_spool=disk / "spool")
    first = run_load(server, 4000)
    server.until(lambda: "log" in server.get("/ready").json())
    assert (
        max(Counter((line["pid"], line["message"][:40]) for line in server.log() if line["level"] == "error").values())
        == 1
    )
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    second = run_load(server, 500)
    server.until(lambda: "log" not in server.get("/ready").json())
    server.until(lambda: second.keys.keys() <= stored(disk / "slipway.db").keys())
    assert set(stored(disk / "slipway.db").values()) == {1}
    dropped = 'slipway_log_records_total{outcome="dropped"}'
    server.until(lambda: len(stored(disk / "slipway.db")) + server.metrics()[dropped] == first.total + second.total)


@needs_mounts
def test_a_folder_that_cannot_be_written_is_said_once_and_recovered_from(start: Start, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    server = start(log="async", log_database=f"sqlite:///{disk}/slipway.db", log_spool=disk / "spool")
    first = run_load(server, 1000)
    server.until(lambda: failures(server) >= 6)  # so that each worker has tried again
    said = Counter((line["pid"], line["message"][:40]) for line in server.log() if line["level"] == "error")
    assert said
    assert max(said.values()) == 1
    subprocess.run(["mount", "-o", "remount,rw,size=64m", disk], check=True)
    second = run_load(server, 300)
    keys = {**first.keys, **second.keys}
    server.until(lambda: keys.keys() <= stored(disk / "slipway.db").keys())
    assert stored(disk / "slipway.db") == Counter(keys.keys())


MOST = 1024 * 1024


def bytes_in(folder: Path, *suffixes: str) -> int:
    """Of the files of the log, or of some of them."""
    wanted = suffixes or (".db", ".db-wal", ".jsonl")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in wanted and path.exists())


def test_a_log_that_is_full_of_today_drops_what_comes_and_the_disk_does_not_fill(start: Start, tmp_path: Path) -> None:
    server = start(log="async", log_database_bytes=MOST, log_spool_bytes=100_000)
    dropped = 'slipway_log_records_total{outcome="dropped"}'
    while not server.metrics()[dropped]:
        run_load(server, 2000)
    # A large write exceeds the bound until the next small one.
    server.until(lambda: run_load(server, 100) is not None and bytes_in(tmp_path) < 2 * MOST)
    while "SLIPWAY_LOG_DATABASE_BYTES" not in server.get("/ready").json().get("log", ""):
        run_load(server, 500)  # where a large write did not fit, a small one may
    assert server.is_ready()
    assert 0.9 * MOST < server.metrics()["slipway_log_database_bytes{}"] < 2 * MOST
    server.until(lambda: "x-prediction-id" not in server.predict("iris", FLOWER).headers)


def test_older_days_make_room_for_what_comes_and_no_row_of_today_is_lost(start: Start, tmp_path: Path) -> None:
    server = start(log="async", log_database_bytes=2 * MOST, workers=1)
    first = run_load(server, 2000)
    server.until(lambda: len(stored(server.database)) == first.total)
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute("UPDATE predictions SET time = '2026-01-01T00:00:00.000000Z'")
        connection.commit()
    second = run_load(server, 2500)
    server.until(lambda: second.keys.keys() <= stored(server.database).keys())
    assert not first.keys.keys() & stored(server.database).keys()
    assert bytes_in(tmp_path) < 3 * MOST
    metrics = server.metrics()
    assert metrics["slipway_log_deleted_rows_total{}"] == first.total
    assert metrics['slipway_log_records_total{outcome="dropped"}'] == 0


@pytest.mark.parametrize("path", ["/predict-with-logging", "/feedback"])
def test_where_the_log_is_off_a_flood_leaves_no_more_than_a_bound_on_the_disk(
    start: Start, tmp_path: Path, path: str
) -> None:
    """By far more than it may leave: 8,000 rows a request, of which 64 MiB in the file and 64 MiB in the spool may
    stay.
    """
    server = start(techniques="true")
    key = server.ask("POST", "/predict-with-logging", {"features": FLOWER}).headers["x-prediction-id"]
    bodies = {
        "/predict-with-logging": {"instances": [FLOWER] * 8000},
        "/feedback": {"instances": [{"prediction_id": stray(key), "outcome": "x" * 500} for _ in range(8000)]},
    }
    sent = 0
    deadline = time.monotonic() + 40
    while sent < 60 and time.monotonic() < deadline:
        answer = server.ask("POST", path, bodies[path])
        assert answer.status in (200, 202, 503)
        sent += answer.status != 503
        assert bytes_in(tmp_path, ".db") < 70 * MOST
        assert bytes_in(tmp_path, ".jsonl") < 70 * MOST
        assert bytes_in(tmp_path, ".db-wal") < 128 * MOST  # it grows while rows come faster than the disk takes them
    if path == "/feedback":
        server.until(lambda: server.metrics().get('slipway_log_strays_total{outcome="dropped"}', 0) > 0)
        server.until(lambda: bytes_in(tmp_path) < 30 * MOST)
    assert server.is_ready()


def stray(key: str) -> str:
    """An id of the same time that nobody has given."""
    return f"{key[:15]}{secrets.token_hex(8)[:3]}-9{secrets.token_hex(8)[:3]}-{secrets.token_hex(6)}"


def test_the_files_of_the_log_are_for_their_owner_alone_whatever_the_umask(start: Start, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = tmp_path / "new" / "log"
        server = start(
            log="spooled", log_database=f"sqlite:///{folder}/slipway.db", log_spool=tmp_path / "new" / "spool" / "here"
        )
        run_load(server, 500)
        modes = {
            path: stat.S_IMODE(path.stat().st_mode)
            for path in (tmp_path / "new", *(tmp_path / "new").rglob("*"))
            if path.exists()
        }
    finally:
        os.umask(before)
    assert {"slipway.db", "slipway.db-wal", "slipway.db-shm"} <= {path.name for path in modes}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if not path.is_dir()} == {0o600}


def test_past_the_spools_bound_requests_are_refused_where_that_is_asked_for(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slipway.db").write_bytes(b"no database" * 1000)
    server = start(log="async", log_overflow="refuse", log_spool_bytes=50_000)

    async def run() -> Load:
        async with Load("127.0.0.1", server.port, REQUEST, connections=4) as clients:
            async with asyncio.timeout(60):
                while not clients.answers[503]:
                    await asyncio.sleep(0.01)
            (tmp_path / "slipway.db").unlink()
            answered = clients.answers[200]
            async with asyncio.timeout(60):
                while clients.answers[200] < answered + 500:
                    await asyncio.sleep(0.01)
        return clients

    clients = asyncio.run(run())
    assert clients.answers.keys() == {200, 503}
    server.until(lambda: stored(server.database) == Counter(clients.keys.keys()))
    assert len(clients.keys) == clients.answers[200]
    assert server.metrics()['slipway_log_records_total{outcome="dropped"}'] == 0


def test_answers_whose_records_are_dropped_have_no_key(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slipway.db").write_bytes(b"no database" * 1000)
    server = start(log="async", log_spool_bytes=50_000, workers=1)
    run_load(server, 1000)
    server.until(lambda: "x-prediction-id" not in server.predict("iris", FLOWER).headers)
    (tmp_path / "slipway.db").unlink()
    server.until(lambda: "x-prediction-id" in server.predict("iris", FLOWER).headers)
    key = server.predict("iris", FLOWER).headers["x-prediction-id"]
    server.until(lambda: key in stored(server.database))
