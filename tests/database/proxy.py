"""A TCP proxy in front of a database, whose network can be cut: packets are neither delivered nor refused."""

import asyncio
import contextlib
from typing import Self


class Proxy:
    """`async with Proxy(port) as proxy` listens on `proxy.port`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._through = asyncio.Event()
        self._through.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        self._through.clear()

    def mend(self) -> None:
        self._through.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        open_ends = [writer]
        try:
            await self._through.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            open_ends.append(back)
            await asyncio.gather(self._forward(reader, back), self._forward(there, writer))
        except OSError:
            pass
        finally:
            for end in open_ends:
                end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._through.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
