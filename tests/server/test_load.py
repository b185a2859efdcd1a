"""More clients, requests and bytes than there is room for; and clients that go away."""

import asyncio
import json
import random
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import Start, bare
from tests.server.estimators import Held, SlowToLoad
from tests.server.running import Server
from tests.support.load import Answer, Connection, Load, get, post

FLOWER = [5.1, 3.5, 1.4, 0.2]


async def ask(server: Server, request: bytes) -> Answer:
    connection = await Connection.open("127.0.0.1", server.port)
    try:
        return await connection.ask(request)
    finally:
        connection.close()


def test_beyond_the_bound_the_answer_is_503_at_once_and_probes_are_still_answered(start: Start, tmp_path: Path) -> None:
    folder, closed = tmp_path / "models", tmp_path / "closed"
    bare(folder, "held", Held(str(closed)).fit())
    (folder / "models.toml").write_text('[held]\nexecution = "thread"\nbatching = false\n')
    server = start(models=folder, max_in_flight=2, threads=2)
    closed.touch()
    held = post("/predict", {"features": [1, 0]})

    async def run() -> None:
        busy = [asyncio.create_task(ask(server, held)) for _ in range(24)]
        # 2 places in each of 2 workers, which are not free before it is opened.
        while sum(task.done() for task in busy) < 20:
            await asyncio.sleep(0.01)
        for path in ("/health", "/ready", "/metrics") * 4:
            assert (await ask(server, get(path))).status == 200
        assert sum(task.done() for task in busy) == 20
        closed.unlink()
        answers = await asyncio.gather(*busy)
        assert Counter(answer.status for answer in answers) == {200: 4, 503: 20}
        assert {answer.headers["retry-after"] for answer in answers if answer.status == 503} == {"1"}

    asyncio.run(run())
    assert server.metrics()['slipway_requests_rejected_total{reason="full"}'] == 20


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_two_thousand_open_connections_are_all_answered(server: Server) -> None:
    async def run() -> list[Answer]:
        connections = [
            connection
            for _ in range(20)
            for connection in await asyncio.gather(*(Connection.open("127.0.0.1", server.port) for _ in range(100)))
        ]
        assert len(connections) == 2000
        answers = await asyncio.gather(
            *(connection.ask(post("/predict", {"features": FLOWER})) for connection in connections)
        )
        again = await asyncio.gather(*(connection.ask(get("/health")) for connection in connections))
        for connection in connections:
            connection.close()
        return answers + again

    assert Counter(answer.status for answer in asyncio.run(run())) == {200: 4000}


def test_callers_of_a_dear_model_share_its_inferences_and_each_gets_its_own_answer(server: Server) -> None:
    callers, requests = 64, 10

    async def call(caller: int) -> list[float]:
        connection = await Connection.open("127.0.0.1", server.port)
        answers = []
        for i in range(requests):
            answer = await connection.ask(post("/predict?model=dear", {"features": [caller + 100 * i, 0]}))
            answers.append(json.loads(answer.body)["prediction"])
            if answer.headers.get("connection") == "close":  # to another worker
                connection.close()
                connection = await Connection.open("127.0.0.1", server.port)
        connection.close()
        return answers

    async def run() -> list[list[float]]:
        return await asyncio.gather(*(call(caller) for caller in range(callers)))

    def inferences() -> float:
        return server.metrics().get('slipway_inference_duration_seconds_count{model="dear",version="1"}', 0.0)

    before = inferences()
    assert asyncio.run(run()) == [[caller + 100 * i for i in range(requests)] for caller in range(callers)]
    assert inferences() - before < callers * requests / 4


def test_clients_that_leave_in_mid_request_harm_nobody(start: Start) -> None:
    server = start()
    request = post("/predict", {"features": FLOWER})
    slow = post("/predict?model=slow", {"features": [0.3, 0]})
    choose = random.Random(7)

    async def leave_in_the_middle() -> None:
        sent = choose.choice((request, slow))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent[: choose.randint(1, len(sent))])
        await writer.drain()
        if choose.random() < 0.5:
            writer.transport.abort()
        writer.close()

    async def run() -> Load:
        async with Load("127.0.0.1", server.port, request, connections=4) as load:
            for _ in range(10):
                await asyncio.gather(*(leave_in_the_middle() for _ in range(20)))
            await load.until(load.total + 100)
        return load

    workers = server.workers()
    load = asyncio.run(run())
    assert (set(load.answers), load.failures.total()) == ({200}, 0)
    assert server.workers() == workers
    server.until(lambda: server.metrics()["slipway_http_requests_in_flight{}"] == 0)
    server.until(lambda: server.board.total_connections() <= 1)
    assert [line for line in server.log() if line["level"] in ("error", "critical")] == []


def test_requests_sent_without_waiting_are_answered_in_order(server: Server) -> None:
    async def run() -> list[bytes]:
        connection = await Connection.open("127.0.0.1", server.port)
        rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]] * 5
        first = await connection.ask(b"".join(post("/predict", {"features": row}) for row in rows))
        bodies = [first.body] + [(await connection.ask(b"")).body for _ in rows[1:]]
        connection.close()
        return [body.split(b",")[0] for body in bodies]

    assert asyncio.run(run()) == [b'{"prediction":0', b'{"prediction":2'] * 5


def test_a_connection_that_never_asks_anything_is_closed(start: Start) -> None:
    server = start(keep_alive=1)

    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()

    asyncio.run(run())


def test_a_broken_model_keeps_the_pod_unready_while_the_others_serve(
    start: Start, models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "iris").symlink_to(models / "iris")
    bare(folder, "broken", SlowToLoad(str(tmp_path / "began")).fit())
    (folder / "broken" / "1" / "model.joblib").write_bytes(b"no pickle at all")
    server = start(models=folder, wait=False)
    server.until(lambda: answered(server))
    assert server.predict("iris", FLOWER).status == 200
    assert server.predict("broken", FLOWER).status == 503
    ready = server.get("/ready")
    assert ready.status == 503
    assert "broken" in ready.json()["error"]
    assert server.get("/health").status == 200


def answered(server: Server) -> bool:
    try:
        return server.get("/ready").json()["ready"] is False
    except OSError:
        return False


def test_a_models_folder_is_only_read(start: Start, models: Path) -> None:
    def state() -> dict[Path, float]:
        return {path: path.stat().st_mtime for path in models.rglob("*")}

    before = state()
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        server = start()
        assert server.predict("iris", FLOWER).status == 200
    finally:
        for path in before:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert state() == before


def test_a_development_server_starts_anew_when_a_model_changes(start: Start, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "iris").symlink_to(models / "iris")
    server = start("--reload", models=folder)
    assert server.get("/models/slow").status == 404
    bare(folder, "slow", SlowToLoad(str(tmp_path / "began")).fit())
    server.until(lambda: server.is_ready() and server.get("/models/slow").status == 200)
