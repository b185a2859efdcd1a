"""A certificate that is renewed while the server serves."""

import asyncio
import os
import ssl
from pathlib import Path

from tests.server.conftest import Start
from tests.server.running import Server, series
from tests.support.certificate import self_signed
from tests.support.load import Connection, get
from tests.support.raw import answers_in, connect_tls, received

EXPIRY = "slipway_tls_certificate_expiry_timestamp_seconds{}"
NOBODY = ssl.create_default_context()
NOBODY.check_hostname, NOBODY.verify_mode = False, ssl.CERT_NONE


def shown(server: Server) -> bytes:
    """The certificate that a new client is shown."""
    with connect_tls(server.port) as client:
        content = client.getpeercert(binary_form=True)
        assert content is not None
        return content


def asked(server: Server, path: str) -> bytes:
    with connect_tls(server.port) as client:
        client.sendall(get(path).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        (answer,) = answers_in(received(client))
        return answer.body


def serving(start: Start, folder: Path) -> Server:
    server = start(wait=False, tls_certificate=folder / "server.crt", tls_key=folder / "server.key")

    def is_ready() -> bool:
        try:
            return b"true" in asked(server, "/ready")
        except OSError:
            return False

    server.until(is_ready, 200)
    return server


def replace(folder: Path, by: Path) -> None:
    """All at once, as the kubelet does."""
    (folder / "..tmp").symlink_to(by)
    os.replace(folder / "..tmp", folder / "..data")


def mounted(folder: Path, *versions: str, days: dict[str, int] | None = None) -> Path:
    """A Secret that is mounted, and shows the first version."""
    mount = folder / "mount"
    mount.mkdir()
    for version in versions:
        (folder / version).mkdir()
        self_signed(folder / version, "IP:127.0.0.1", days=(days or {}).get(version, 1))
    (mount / "..data").symlink_to(folder / versions[0])
    for name in ("server.crt", "server.key"):
        (mount / name).symlink_to(Path("..data") / name)
    return mount


def test_a_renewed_certificate_is_served_by_every_worker_and_no_connection_is_dropped(
    start: Start, tmp_path: Path
) -> None:
    mount = mounted(tmp_path, "1", "2", days={"2": 5})
    server = serving(start, mount)
    old, expiry = shown(server), series(asked(server, "/metrics"))[EXPIRY]

    async def run() -> None:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", server.port, ssl=NOBODY))
        assert (await connection.ask(get("/health"))).status == 200
        replace(mount, tmp_path / "2")
        # Both workers: one takes four connections at most before the other.
        await asyncio.to_thread(server.until, lambda: all(shown(server) != old for _ in range(12)))
        assert (await connection.ask(get("/health"))).status == 200
        connection.close()

    asyncio.run(run())
    server.until(lambda: series(asked(server, "/metrics"))[EXPIRY] > expiry + 3 * 86_400)
    server.until(lambda: len(server.logged("the certificate has been renewed: it is valid until")) == 1)


def test_bad_files_are_told_in_one_line_and_the_old_certificate_is_served_also_by_new_workers(
    start: Start, tmp_path: Path
) -> None:
    mount = mounted(tmp_path, "1", "2")
    server = serving(start, mount)
    old = shown(server)
    (tmp_path / "2" / "server.key").write_text("no key")
    replace(mount, tmp_path / "2")
    server.until(lambda: server.logged("has changed and cannot be used with the key") != [])
    workers = server.workers()
    for worker in workers:
        os.kill(worker, 9)
    server.until_workers(2, without=workers)
    server.until(lambda: shown(server) == old)
    assert len(server.logged("has changed and cannot be used with the key")) == 1


def test_without_tls_there_is_no_series_of_a_certificate(server: Server) -> None:
    assert EXPIRY not in server.metrics()
