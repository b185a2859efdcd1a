"""A certificate for tests that speak TLS."""

import subprocess
from pathlib import Path


def self_signed(folder: Path, *names: str, days: int = 1) -> tuple[Path, Path]:
    """Certificate and key, for so many days and for these names as openssl has them: DNS:localhost, IP:127.0.0.1."""
    certificate, key = folder / "server.crt", folder / "server.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        str(days),
    ]
    command += ["-subj", "/CN=slipway", "-addext", f"subjectAltName={','.join(names)}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
