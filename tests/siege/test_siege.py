"""Long rounds against everything that a request goes through: `make siege-test`. SIEGE multiplies them: 10 is what a
release must hold.
"""

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import pytest

from slipway.app import create_app
from slipway.http.envelope import Envelope
from slipway.http.operation import fields_of
from slipway.packing.example_models import train_and_pack
from slipway.settings import Settings
from tests.http.test_fuzz import MAX_BYTES, MAX_ROWS, Attack, Generator, make_targets
from tests.server.conftest import bare
from tests.server.estimators import Echo
from tests.server.running import ROOT, Server
from tests.support.load import Answer, Connection, get, post
from tests.support.raw import answers_in

TIMES = float(os.environ.get("SIEGE", "1"))
BODIES = int(20_000 * TIMES)
SEQUENCES = int(5_000 * TIMES)
SECONDS = 60 * TIMES  # of the soak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 300 * TIMES)]

# Bodies, three ways.


class Verdict(NamedTuple):
    status: int
    content: Any


CHANGING = ("latency_ms", "cached")  # in answers to the same question


def verdict(status: int, body: bytes) -> Verdict:
    content = json.loads(body)
    if isinstance(content, dict):
        content = {name: value for name, value in content.items() if name not in CHANGING}
        for row in content.get("predictions", []):
            for name in CHANGING:
                row.pop(name, None)
    return Verdict(status, content)


async def by_asgi(app: Any, attack: Attack, pieces: list[bytes]) -> Verdict:
    target = urlsplit(attack.path)
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces[:-1]]
    messages.append({"type": "http.request", "body": pieces[-1], "more_body": False})
    rest = iter(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        message = next(rest, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": unquote(target.path),
        "raw_path": target.path.encode(),
        "root_path": "",
        "query_string": target.query.encode(),
        "headers": [(b"host", b"slipway"), *attack.headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    await app(scope, receive, send)
    return verdict(sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]))


async def in_one_piece(envelope: Envelope, attack: Attack) -> Verdict:
    """As a connection has it answered."""
    url = attack.path.encode()
    hot = envelope.hot_path(url)
    if hot is not None:
        answer = envelope.answer_at_once(hot, url, fields_of([(b"host", b"slipway"), *attack.headers]), attack.body)
        if answer is not None:
            return verdict(answer.status, answer.body)
    return await by_asgi(envelope, attack, [attack.body])


def cut(random: Random, whole: bytes, most: int = 5) -> list[bytes]:
    places = sorted(random.randrange(len(whole) + 1) for _ in range(random.randrange(1, most)))
    return [whole[at:until] for at, until in itertools.pairwise([0, *places, len(whole)])]


def attacks(seed: int) -> Iterator[Attack]:
    """As the generator makes them, the model now and then by a header: a path with a query is not answered at once."""
    generator = Generator(seed)
    while True:
        attack = generator.attack()
        path, _, query = attack.path.partition("?model=")
        headers = [
            header for header in attack.headers if header[0] not in (b"content-length", b"expect", b"host")
        ]  # HTTP's, not the body's
        if query and generator.random.random() < 0.7:
            headers.append((b"x-model", query.encode("latin-1", "replace")))
            query = ""
        if path.isascii():
            yield Attack(path + (f"?model={query}" if query else ""), headers, attack.body)
        else:
            yield Attack(quote(path, safe="/%"), headers, attack.body)


def test_a_body_is_judged_alike_in_one_piece_in_pieces_and_by_the_router(tmp_path: Path) -> None:
    limits = {"max_rows": MAX_ROWS, "max_body_bytes": MAX_BYTES, "cache_size": 50}
    log = {"log_database": f"sqlite:///{tmp_path}/slipway.db", "log_spool": tmp_path / "spool"}
    envelope = create_app(Settings(models=make_targets(tmp_path / "models"), access_log=False, **limits, **log))
    random = Random(1)

    async def run() -> int:
        answered = 0
        async with envelope.fastapi.router.lifespan_context(envelope.fastapi):
            for number, attack in enumerate(itertools.islice(attacks(7), BODIES)):
                one = await in_one_piece(envelope, attack)
                more = await by_asgi(envelope, attack, cut(random, attack.body))
                router = await by_asgi(envelope.fastapi, attack, [attack.body])
                assert one == more == router, f"body {number}: {attack}"
                assert one.status < 500, f"body {number}: {attack}"
                answered += one.status == 200
        return answered

    answered = asyncio.run(run())
    assert BODIES * 0.05 < answered < BODIES * 0.8


# Sequences of requests on one connection.


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """iris, and two that answer the first feature, on the event loop and in a thread."""
    folder = tmp_path_factory.mktemp("models")
    train_and_pack("iris", folder)
    bare(folder, "echo", Echo().fit())
    bare(folder, "threaded", Echo().fit())
    (folder / "models.toml").write_text(
        '[iris]\ndefault = true\n[echo]\nexecution = "inline"\n[threaded]\nexecution = "thread"\n'
    )
    return folder


class Asked(NamedTuple):
    """A request and what is expected of its answer; `content`: of the prediction."""

    wire: bytes
    identity: str
    status: int
    content: float | None = None


GARBAGE = [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 50, b"POST /predict HTTP/9\r\n\r\n"]


class Sequences:
    """Requests with an id each, then perhaps something that breaks off."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._numbers = itertools.count(1)

    def request(self) -> Asked:
        number = next(self._numbers)
        identity = f"r{number}"
        match self.random.randrange(8):
            case 0 | 1:
                return Asked(
                    post("/predict", {"features": [number, 0]}, X_Model="echo", X_Request_ID=identity),
                    identity,
                    200,
                    number,
                )
            case 2:
                return Asked(
                    post("/predict?model=threaded", {"features": [number, 0]}, X_Request_ID=identity),
                    identity,
                    200,
                    number,
                )
            case 3:
                whole = post("/models/echo/predict", {"instances": [[number, 0]]}, X_Request_ID=identity)
                return Asked(self.chunked(whole), identity, 200, number)
            case 4:
                return Asked(
                    get("/health").replace(b"\r\n\r\n", f"\r\nX-Request-ID: {identity}\r\n\r\n".encode()), identity, 200
                )
            case 5:
                return Asked(post("/predict", {"features": [1]}, X_Request_ID=identity), identity, 400)
            case 6:
                return Asked(post("/nowhere", {"x": "\r\n\r\n" * 3}, X_Request_ID=identity), identity, 404)
            case _:
                offer = {"Connection": "Upgrade", "Upgrade": "h2c"}
                return Asked(
                    post("/predict", {"features": [number, 0]}, X_Model="echo", X_Request_ID=identity, **offer),
                    identity,
                    200,
                    number,
                )

    def chunked(self, whole: bytes) -> bytes:
        head, _, body = whole.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in cut(self.random, body) if part)
        return b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n" + chunks + b"0\r\n\r\n"

    def sequence(self) -> tuple[list[Asked], bytes, str]:
        """Requests, what follows them on the wire, and how it ends: all answered (`whole`), `refused` behind them,
        or `left`.
        """
        asked = [self.request() for _ in range(self.random.choice([1, 2, 3, 5, 8, 16, 17, 40]))]
        last = get("/health").replace(b"\r\n\r\n", b"\r\nConnection: close\r\nX-Request-ID: last\r\n\r\n")
        match self.random.randrange(6):
            case 0:
                return (
                    asked,
                    self.random.choice(
                        [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 50, b"POST /predict HTTP/9\r\n\r\n"]
                    ),
                    "refused",
                )
            case 1:
                broken = b'POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"feaXX'
                return asked, broken, "refused"
            case 2:
                return asked, self.request().wire[: self.random.randrange(1, 60)], "left"
            case _:
                return [*asked, Asked(last, "last", 200)], b"", "whole"


async def play(port: int, sequences: Sequences) -> None:
    asked, rest, end = sequences.sequence()
    random = sequences.random
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        wire = b"".join(request.wire for request in asked) + rest
        reading = asyncio.create_task(reader.read())
        for piece in cut(random, wire, random.choice([2, 2, 5, 30])):
            writer.write(piece)
            await writer.drain()
            if random.random() < 0.5:
                await asyncio.sleep(0)
        if end == "left":
            if random.random() < 0.5:
                writer.write_eof()
            else:
                writer.transport.abort()
        try:
            stream = await asyncio.wait_for(reading, 60)
        except ConnectionError:
            assert end == "left"
            return
        check(list(complete(stream)) if end == "left" else list(answers_in(stream)), asked, end)
    finally:
        writer.transport.abort()


def complete(stream: bytes) -> Iterator[Answer]:
    """The answers that are there in whole: the last may have been cut."""
    with contextlib.suppress(ValueError):
        yield from answers_in(stream)


def check(answers: list[Answer], asked: list[Asked], end: str) -> None:
    if end == "refused":
        refusal = answers.pop()
        assert refusal.status == 400
        assert not refusal.headers["x-request-id"].startswith("r")
    for answer, request in zip(answers, asked, strict=end != "left"):
        assert (answer.headers["x-request-id"], answer.status) == (request.identity, request.status)
        if request.content is not None:
            content = json.loads(answer.body)
            assert content.get("predictions", [content])[0]["prediction"] == request.content


def test_no_answer_is_swapped_lost_or_doubled_on_a_connection_whatever_is_sent(models: Path, tmp_path: Path) -> None:
    async def players(port: int, count: int) -> None:
        numbers = iter(range(SEQUENCES))

        async def player(seed: int) -> None:
            sequences = Sequences(seed)
            for number in numbers:
                try:
                    await play(port, sequences)
                except AssertionError as exc:
                    raise AssertionError(f"sequence {number} of seed {seed}: {exc}") from exc

        async with asyncio.TaskGroup() as group:
            for seed in range(count):
                group.create_task(player(seed))

    with Server(models, tmp_path, workers=1, access_log=False, techniques=False) as server:
        asyncio.run(players(server.port, 24))
        server.until(lambda: server.metrics()["slipway_http_requests_in_flight{}"] == 0)
        server.until(lambda: server.board.total_connections() <= 1)
        assert not [line for line in server.log() if line["level"] in ("error", "critical")]


# Honest clients among hostile ones.

HONEST, RATE = 16, 10  # clients, and requests per second of each
FLOWERS = [([5.1, 3.5, 1.4, 0.2], 0), ([6.7, 3.0, 5.2, 2.3], 2)]
LEAST_P99 = 0.005  # seconds; below it three times as much is the machine's doing, not the server's


async def honest(port: int, until: float, seconds: list[float]) -> None:
    """Keeps its connection and its pace; every answer is right."""
    connection: Connection | None = None
    due = time.monotonic()
    for number in itertools.count():
        due += 1 / RATE
        if due > until:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        row, species = FLOWERS[number % 2]
        asked = time.monotonic()
        connection = connection or await Connection.open("127.0.0.1", port)
        async with asyncio.timeout(30):
            answer = await connection.ask(post("/predict", {"features": row}) if number % 10 else get("/health"))
        seconds.append(time.monotonic() - asked)
        assert answer.status == 200, answer
        assert number % 10 == 0 or json.loads(answer.body)["prediction"] == species
        if answer.headers.get("connection") == "close":
            connection.close()
            connection = None
    if connection is not None:
        connection.close()


async def p99(port: int, lasting: float, beside: Callable[[], Awaitable[None]] | None = None) -> float:
    """Of the answers to honest clients; raises what has failed one of them."""
    seconds: list[float] = []
    until = time.monotonic() + lasting
    async with asyncio.TaskGroup() as group:
        for _ in range(HONEST):
            group.create_task(honest(port, until, seconds))
        if beside is not None:
            group.create_task(beside())  # type: ignore[arg-type]
    assert len(seconds) > 0.9 * HONEST * RATE * lasting
    return sorted(seconds)[int(len(seconds) * 0.99)]


def private_memory(server: Server) -> int:
    """KiB."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in server.workers()]
    return sum(
        int(line.split()[1]) for rollup in rollups for line in rollup.splitlines() if line.startswith("Private_")
    )


@contextlib.asynccontextmanager
async def besieged(port: int, lasting: float) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "tests.siege.hostile", str(port), str(lasting)]
    with subprocess.Popen(command, cwd=ROOT) as hostile:
        try:
            yield
        finally:
            hostile.terminate()
    assert hostile.returncode <= 0


def test_hostile_clients_fail_no_honest_request_slow_none_down_and_leave_no_memory(
    models: Path, tmp_path: Path
) -> None:
    measured: list[int] = []

    async def run(server: Server) -> tuple[float, float]:
        calm = [await p99(server.port, SECONDS / 6)]
        async with besieged(server.port, SECONDS):

            async def remember() -> None:
                await asyncio.sleep(SECONDS / 6)
                measured.append(private_memory(server))

            among = await p99(server.port, SECONDS * 2 / 3, remember)
            measured.append(private_memory(server))
        calm.append(await p99(server.port, SECONDS / 6))
        return max(calm), among

    with Server(models, tmp_path, access_log=False) as server:
        workers = server.workers()
        calm, among = asyncio.run(run(server))
        assert server.workers() == workers
        assert not [line for line in server.log() if line["level"] in ("error", "critical")]
    print(
        f"p99 {calm * 1000:.1f} ms, among hostile clients {among * 1000:.1f} ms; memory {measured[0]} KiB, then "
        f"{measured[1]} KiB"
    )
    assert among <= 3 * max(calm, LEAST_P99)
    assert measured[1] <= 1.1 * measured[0]
