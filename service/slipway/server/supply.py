"""Models that lie elsewhere: fetched before they are served, by `slipway fetch` in a process of its own."""

import logging
import subprocess
import sys

from ..errors import ArtifactError
from ..settings import Settings, flag_of
from ..sources.address import mirror_of, parse
from ..sources.changes import Refresh
from ..system.escaping import printable

log = logging.getLogger("slipway.models")

_UNREACHABLE = 3  # what `slipway fetch` exits with where a copy may do


def fetched(settings: Settings) -> Settings:
    """With the folder that the models have been fetched into. Raises ArtifactError; where the source is away, a copy
    that was verified earlier does, and a warning says so.
    """
    if settings.source is None:
        return settings
    address, folder = parse(settings.source), mirror_of(settings.fetch_cache, settings.source)
    log.info("fetching models from %s", address.shown)
    done = subprocess.run(_command(settings), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    why = printable(done.stderr.strip().rpartition("\n")[2].removeprefix("slipway: "))
    if done.returncode != 0:
        if done.returncode != _UNREACHABLE or not folder.is_dir():
            raise ArtifactError(why or f"`slipway fetch` ended with {done.returncode}")
        log.warning("the models are those that were fetched earlier, for their source is away: %s", why)
    return settings.model_copy(update={"models": folder})


def refresh(settings: Settings) -> Refresh | None:
    return None if settings.source is None else Refresh(_command(settings))


def _command(settings: Settings) -> list[str]:
    command = [sys.executable, "-m", "slipway", "fetch", str(settings.source)]
    for name in ("fetch_cache", "fetch_cache_bytes", "fetch_headers"):
        if (value := getattr(settings, name)) is not None:
            command += [flag_of(name), str(value)]
    return command
