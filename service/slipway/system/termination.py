"""Why this container is not ready, where `kubectl describe pod` shows it: the kubelet's events leave out the body of
a failed probe.
"""

from pathlib import Path

MESSAGE = Path("/dev/termination-log")  # Kubernetes' default; there is no such file elsewhere


def record(reason: str) -> None:
    """Replaces the container's termination message, where there is one to replace; an empty reason takes it back."""
    try:
        if MESSAGE.is_file():
            MESSAGE.write_text(reason)
    except OSError:  # read-only or not ours: the log has the reason too
        pass
