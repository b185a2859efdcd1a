"""A network of its own for a database, which can be cut: packets are dropped, and nobody is told."""

import os
import subprocess
from contextlib import ExitStack
from typing import Self

MAY_MAKE_ONE = os.geteuid() == 0


class Network:
    """`with Network() as network`: what runs with `command` in front has the address `host`, which this machine alone
    reaches.

    A namespace without a name, joined to this one by a virtual cable: it goes with the last process in it, whatever
    becomes of us.
    """

    def __init__(self) -> None:
        number = os.getpid() % (1 << 15)  # runs side by side have networks of their own
        self._ours, self.host = (
            f"198.{18 + (number >> 14)}.{number >> 6 & 255}.{number % 64 * 4 + end}" for end in (1, 2)
        )
        self._end = f"slipway{number}"
        self.command: list[str] = []

    def __enter__(self) -> Self:
        # Holds the namespace while the database is stopped, and ends with us: its input does.
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with ExitStack() as undo:
            undo.callback(self.__exit__)
            assert self._holder.stdin is not None
            assert self._holder.stdout is not None
            self._holder.stdin.write(b"there?\n")
            self._holder.stdin.flush()
            self._holder.stdout.readline()
            self.command = ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]
            _run(
                "ip", "link", "add", self._end, "type", "veth", "peer", "name", "there", "netns", str(self._holder.pid)
            )
            for command, end, address in (([], self._end, self._ours), (self.command, "there", self.host)):
                _run(*command, "ip", "address", "add", f"{address}/30", "dev", end)
                _run(*command, "ip", "link", "set", end, "up")
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        # It may have come to nothing.
        subprocess.run(["ip", "link", "delete", self._end], stderr=subprocess.DEVNULL, check=False)
        self._holder.communicate()

    def cut(self, port: int | None = None) -> None:
        """`port`: only for the client on our side with that one, as if its machine were gone."""
        for way, end in (("INPUT", "--sport"), ("OUTPUT", "--dport")):
            which = () if port is None else ("--protocol", "tcp", end, str(port))
            _run(*self.command, "iptables", "--wait", "--append", way, *which, "--jump", "DROP")

    def mend(self) -> None:
        _run(*self.command, "iptables", "--wait", "--flush")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
