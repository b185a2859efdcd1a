"""`slipway drift`: whether what a model was asked and what it answered still look as they did."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..prediction_log.stores.errors import StoreAway
from .flags import Commands, UsageError, add_command, add_settings, settings_of

if TYPE_CHECKING:
    from ..drift.periods import Page, Period
    from ..model.manifest import Manifest


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "drift",
        run,
        "Compare what a model was asked and answered with the data at packing, or with another time",
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="name of the model")
    parser.add_argument(
        "--version", metavar="V", help="its version (default: the one that is served where none is named)"
    )
    parser.add_argument(
        "--reference", metavar="FROM..TO", help="period of the prediction log (default: the data at packing)"
    )
    parser.add_argument(
        "--current",
        required=True,
        metavar="FROM..TO",
        help="2026-11-01..2026-11-08 in UTC, or 7d.. for the last 7 days",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("drift.html"), metavar="FILE.html", help="the report (default: drift.html)"
    )
    add_settings(parser, ("models", "log_database"))


def run(options: argparse.Namespace) -> int:
    """Raises UsageError and ArtifactError, in one sentence."""
    from tqdm import tqdm

    from ..drift.page import html, text
    from ..drift.periods import COLUMNS, compare
    from ..prediction_log.reading.pages import Chosen, count, read, require_known
    from ..system.files import whole

    settings = settings_of(options)
    if options.output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--output: {options.output} ends in neither .html nor .htm; the report is a page of HTML")
    reference = None if options.reference is None else _period(options.reference, "--reference")
    current = _period(options.current, "--current")
    manifest = _manifest(settings.models, options.model, options.version, needed=reference is None)
    version = manifest.version if manifest and options.version is None else options.version
    columns, outputs = (None, None) if manifest is None else (manifest.signature.names, manifest.signature.outputs)
    url = settings.log_database.get_secret_value()

    def pages(period: "Period") -> "Iterable[Page]":
        chosen = Chosen(options.model, version, period.start, period.end)
        # Counting takes a second for some millions: only where somebody looks.
        total = count(url, chosen) if sys.stderr.isatty() else None
        with tqdm(total=total, desc=str(period), unit="row", unit_scale=True, disable=None, dynamic_ncols=True) as bar:
            for page in read(url, **chosen._asdict(), columns=COLUMNS):
                yield page
                bar.update(len(page))

    try:
        require_known(url, Chosen(options.model, version))
        found = compare(
            None if manifest is None else manifest.distribution, columns, reference, current, pages, outputs
        )
    except (StoreAway, ValueError) as error:
        raise UsageError(str(error)) from error
    name = options.model if version is None else f"{options.model} {version}"
    with whole(options.output) as partial:
        partial.write_text(html(name, found), encoding="utf-8")
    print(text(name, found))
    print(f"Report: {options.output}", file=sys.stderr)
    return 0


def _period(words: str, flag: str) -> "Period":
    """START..END, where END may be left out: now."""
    from ..drift.periods import Period
    from ..prediction_log.reading.pages import moment

    start, dots, end = words.partition("..")
    try:
        if not dots or not start:
            raise ValueError(
                f"{words!r} {'has no start' if dots else 'is no period'}: write START..END, such as "
                "2026-11-01..2026-11-08"
            )
        period = Period(moment(start), moment(end or "0m"))
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None
    if period.start >= period.end:
        raise UsageError(f"{flag}: {words!r} ends before it begins")
    return period


def _manifest(models: Path, name: str, version: str | None, *, needed: bool) -> "Manifest | None":
    """Of the version asked for, or of the one that is served by default. None of a bare model, and, unless it is
    `needed`, where the folder has no such model: the log may outlive it. Raises UsageError.
    """
    from ..model.manifest import read_manifest
    from ..sources.folder import find_models, read_overrides, version_key

    there = find_models(models) if models.is_dir() else []
    found = {version: directory for model, version, directory in there if model == name}
    if found and version is None:
        override = read_overrides(models).get(name)
        version = (override and override.version) or max(found, key=version_key)
    if version in found:
        return read_manifest(found[version])
    if not needed:
        return None
    if found:
        raise UsageError(f"There is no version {version} of model {name!r} in {models}, only {', '.join(found)}")
    names = ", ".join(sorted({model for model, *_ in there}))
    what = f"only {names}" if names else f"which {'holds no model' if models.is_dir() else 'does not exist'}"
    raise UsageError(f"There is no model {name!r} in {models}, {what}: SLIPWAY_MODELS names the folder")
