"""The sockets that a server listens on, made before anything is loaded."""

import resource
import socket

from ..system.runtime_dir import CannotStart

_DESCRIPTORS = 65_536  # per process


def cannot_listen(host: str, port: int, exc: OSError) -> CannotStart:
    return CannotStart(
        f"cannot listen on {host} port {port} ({exc.strerror}): choose another with SLIPWAY_HOST and SLIPWAY_PORT"
    )


def bind(host: str, port: int) -> socket.socket:
    """Bound but not listening yet, so that a taken port is known before anything is loaded. Raises CannotStart."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as exc:
        raise cannot_listen(host, port, exc) from exc
    return listener


def allow_many_connections() -> None:
    """Each takes a file descriptor, of which the customary 1,024 are meant for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard), hard)
        )
