"""A PostgreSQL server of its own: in a temporary folder, on a free port of 127.0.0.1 or of another network, ended by
its process id.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import asyncpg

from tests.database.network import Network
from tests.server.running import free_port
from tests.support.certificate import self_signed

PASSWORD = "p@ss/w:rd?"  # needs quoting in an address, as a generated one may
QUOTED = "p%40ss%2Fw%3Ard%3F"


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs; Debian keeps them out of PATH."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True
    )
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))
    if found is None:
        raise FileNotFoundError(f"{name} is missing; on Debian: apt-get install postgresql")
    return found


def account() -> dict[str, Any]:
    """Arguments of Popen: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Cluster:
    """`with Cluster() as cluster: cluster.url("slipway")` is a database as the superuser, or as `user`, who has the
    same password.
    """

    def __init__(self, network: Network | None = None) -> None:
        self.network, self.host = network, "127.0.0.1" if network is None else network.host
        self.port = free_port()
        # Not below pytest's folder: the account that PostgreSQL runs as may not enter that.
        self.folder = Path(tempfile.mkdtemp(prefix="slipway-postgresql-"))
        self._account = account()
        self._within: list[str] = []
        if network is not None:  # which only root can enter
            self._within = [
                *network.command,
                "--setuid",
                str(self._account["user"]),
                "--setgid",
                str(self._account["group"]),
            ]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._account:
            os.chown(self.folder, self._account["user"], self._account["group"])
        word = self.folder / "password"
        word.write_text(PASSWORD)
        word.chmod(0o644)
        command = [
            program("initdb"),
            "-D",
            str(self.folder / "data"),
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
        ]
        subprocess.run(
            [*command, "--pwfile", word], check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **self._account
        )
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}:{QUOTED}@{self.host}:{self.port}/{database}"

    def start(self) -> None:
        """Returns when it takes connections."""
        command = [
            program("postgres"),
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
            "-k",
            str(self.folder),
            "-h",
            self.host,
        ]
        account = {} if self._within else self._account
        with (self.folder / "log").open("ab") as log:
            self.process = process = subprocess.Popen(
                [*self._within, *command], cwd=self.folder, stdout=log, stderr=log, **account
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.execute("SELECT 1")
            except (OSError, asyncpg.PostgresError) as error:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from error
                time.sleep(0.05)
            else:
                return

    def offer_tls(self) -> Path:
        """From now on. The certificate of its address, which is its own root."""
        certificate, key = self_signed(self.folder / "data", f"IP:{self.host}")
        key.chmod(0o600)
        if self._account:
            os.chown(key, self._account["user"], self._account["group"])
        self.execute("ALTER SYSTEM SET ssl = on")
        self.execute("SELECT pg_reload_conf()")
        while self.execute("SHOW ssl")[0][0] != "on":
            time.sleep(0.01)
        return certificate

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends the sessions and writes a checkpoint; `immediate` does not: the next start recovers."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
            self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL to the server and to every process of it."""
        assert self.process is not None
        family = [self.process.pid, *children(self.process.pid)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(60)
        # The next start finds their shared memory in use.
        while any(Path(f"/proc/{pid}").exists() for pid in family[1:]):
            time.sleep(0.01)

    def execute(
        self, statement: str, *values: Any, database: str = "postgres", user: str = "postgres"
    ) -> list[asyncpg.Record]:
        """The rows that a statement gives, on a connection of its own."""

        async def run() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.url(database, user), timeout=10)
            try:
                return list(await connection.fetch(statement, *values))
            finally:
                await connection.close()

        return asyncio.run(run())

    def cpu(self) -> float:
        """Seconds of CPU that the server and its living sessions have used."""
        assert self.process is not None
        return sum(map(_cpu, [self.process.pid, *children(self.process.pid)]))


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return 0.0
