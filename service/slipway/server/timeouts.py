"""How long a server waits: for its clients, and for its own end."""

import math
from typing import NamedTuple

from ..settings import Settings


class Timeouts(NamedTuple):
    """Seconds. request_timeout < drain, linger + drain < graceful < hang; the pod's grace period must exceed
    `slipway drain` + graceful.
    """

    linger: int  # for clients with a kept-alive connection to send one more request, and to be told to go
    drain: int  # for requests in hand to end
    graceful: int  # from SIGTERM until the master kills the worker
    hang: int  # without a sign of life, of which there are none after SIGTERM
    # For a whole request to arrive; where its body is waited for, request_timeout passes first and is answered.
    request: int
    head: int = 10  # for a request's head to arrive, from its first byte: a client has it at hand
    handshake: int = 10  # for a client to begin TLS, which takes two messages
    unread: int = 20  # in which a client must take UNREAD_BYTES of what it has been sent: the slowest line does
    idle: int = 5  # that a drain lasts before connections go on which nothing was asked for so long
    goodbye: int = 2  # for a client to close its side of a connection that is closed on ours: it has had its answer

    @classmethod
    def of(cls, settings: Settings) -> "Timeouts":
        linger = 2
        drain = math.ceil(settings.request_timeout) + 1
        graceful = linger + drain + 3  # the lifespan's end: thread and process pools close
        return cls(linger, drain, graceful, graceful + 1, cls._field_defaults["head"] + drain)
