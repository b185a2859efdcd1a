"""The sockets that a server listens on, made before anything is loaded."""

import resource
import socket

from ..settings import Settings
from ..system.runtime_dir import CannotStart

_DESCRIPTORS = 65_536  # per process


def cannot_listen(host: str, port: int, exc: OSError, setting: str = "SLIPWAY_PORT") -> CannotStart:
    return CannotStart(
        f"cannot listen on {host} port {port} ({exc.strerror}): choose another with SLIPWAY_HOST and {setting}"
    )


def bind(host: str, port: int, setting: str = "SLIPWAY_PORT") -> socket.socket:
    """Bound but not listening yet, so that a taken port is known before anything is loaded. Raises CannotStart."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # :: is all addresses of both kinds, whatever the system's default is
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
    except OSError as exc:
        raise cannot_listen(host, port, exc, setting) from exc
    return listener


def bind_all(settings: Settings) -> list[socket.socket]:
    """The port, and that of the metrics where it has one. Raises CannotStart."""
    listeners = [bind(settings.host, settings.port)]
    if settings.metrics_port is not None:
        listeners.append(bind(settings.host, settings.metrics_port, "SLIPWAY_METRICS_PORT"))
    return listeners


def allow_many_connections() -> None:
    """Each takes a file descriptor, of which the customary 1,024 are meant for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard), hard)
        )
