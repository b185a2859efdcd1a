"""The server's certificate: read again when its files change, for the handshakes that come."""

import _ssl
import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

from ..settings import Settings
from ..system.runtime_dir import CannotStart


class CannotRenew(Exception):
    """The new files cannot be used; the message says why, and that those before are served on."""


class Certificate:
    """What is served now. Made in the master, inherited with the fork; from then on each process looks for itself."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises CannotStart."""
        self.files = (certificate, key)
        self._seen = self._state()
        try:
            self.context, self.expires = self._read()
        except OSError as exc:  # ssl.SSLError is one
            raise CannotStart(f"the certificate {certificate} cannot be used with the key {key}: {exc}") from exc

    @classmethod
    def of(cls, settings: Settings) -> "Certificate | None":
        """None where plain HTTP is served. Raises CannotStart."""
        certificate, key = settings.tls_certificate, settings.tls_key
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise CannotStart(
                "SLIPWAY_TLS_CERTIFICATE and SLIPWAY_TLS_KEY go together: set both, or neither to serve plain HTTP"
            )
        return cls(certificate, key)

    @property
    def valid_until(self) -> str:
        return f"{datetime.fromtimestamp(self.expires, UTC):%Y-%m-%d %H:%M} UTC"

    def renew(self) -> bool:
        """Whether the files hold another certificate now, which then is what is served. Call it about once a second.

        Raises CannotRenew, once for each change, where they hold none that can be used.
        """
        state = self._state()  # before they are read: what changes meanwhile is another change
        if state == self._seen:
            return False
        self._seen = state
        try:
            self.context, self.expires = self._read()
        except OSError as exc:
            certificate, key = self.files
            raise CannotRenew(
                f"the certificate {certificate} has changed and cannot be used with the key {key}: {exc}; the one "
                f"before is served on, and is valid until {self.valid_until}"
            ) from exc
        return True

    def _state(self) -> list[tuple[int, ...] | None]:
        return [_state(path) for path in self.files]

    def _read(self) -> tuple[ssl.SSLContext, float]:
        """A context of its own: one that is changed has half of the new files where they do not go together."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.files)
        # Python has no public way to what one's own certificate says, and a library for it would be larger than this.
        told = _ssl._test_decode_cert(str(self.files[0]))  # type: ignore[attr-defined]
        return context, ssl.cert_time_to_seconds(told["notAfter"])


def _state(path: Path) -> tuple[int, ...] | None:
    """Another one once the file is another, also behind a symbolic link, as Kubernetes replaces them."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
