"""Around the handlers of all prediction paths: what became of each request, by its model."""

from time import monotonic

from ..engine.call import Call, MustWait
from ..errors import Problem
from .operation import Handler, Reply


def counting(handler: Handler) -> Handler:
    """The same; a request is counted once the exchange has found its model."""

    async def counted(call: Call) -> Reply:
        try:
            reply = await handler(call)
        except MustWait:  # nothing has been done, and it comes again
            raise
        except Exception as exc:
            if call.observe is not None:
                call.observe(exc.status if isinstance(exc, Problem) else 500, monotonic() - call.arrival)
            raise
        if call.observe is not None:
            call.observe(reply.status, monotonic() - call.arrival)
        return reply

    return counted
