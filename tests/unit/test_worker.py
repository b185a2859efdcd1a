"""What a worker sends, and when."""

import asyncio

from service.worker import OneWrite


class Recorder(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def turn() -> None:
    await asyncio.sleep(0)


def test_head_and_body_leave_as_one_piece_at_the_end_of_the_turn() -> None:
    async def answer() -> None:
        recorder = Recorder()
        transport = OneWrite(recorder, asyncio.get_running_loop())
        transport.write(b"head ")
        transport.write(b"body")
        assert recorder.sent == [], "the answer is not counted yet"
        await turn()
        assert recorder.sent == [b"head body"]
        transport.write(b"the next")
        await turn()
        assert recorder.sent == [b"head body", b"the next"]

    asyncio.run(answer())


def test_closing_sends_what_is_held_first() -> None:
    async def answer() -> None:
        recorder = Recorder()
        transport = OneWrite(recorder, asyncio.get_running_loop())
        transport.write(b"the last")
        transport.close()
        assert (recorder.sent, recorder.closed) == ([b"the last"], True)
        await turn()
        assert recorder.sent == [b"the last"]

    asyncio.run(answer())


def test_a_client_that_has_left_is_sent_nothing() -> None:
    async def answer() -> None:
        recorder = Recorder()
        transport = OneWrite(recorder, asyncio.get_running_loop())
        transport.write(b"too late")
        recorder.close()
        await turn()
        assert recorder.sent == []
        assert transport.get_extra_info("peername") == ("127.0.0.1", 1)

    asyncio.run(answer())
