"""Fetches models over HTTPS into a folder and verifies them: fetch.py PLAN FOLDER. Standard library only.

PLAN is a JSON list of {"path", "url", "sha256"}. FETCH_TIMEOUT: seconds without a byte until it gives up.
FETCH_HEADERS: a folder with a file per request header. A file whose digest is wrong never appears under its name. Exits
1 with a sentence on failure.
"""

import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 20
ATTEMPTS = 3  # then the kubelet starts the container again, with a growing delay


class CannotFetch(Exception):
    """A sentence for the operator."""


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTPS alone, and keeps the caller's headers (credentials) from every other host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(newurl).scheme != "https":
            raise CannotFetch(
                f"{without_query(req.full_url)} redirects to {urlsplit(newurl).scheme}, which is not HTTPS"
            )
        redirected = super().redirect_request(req, fp, code, msg, headers, newurl)
        if redirected is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            redirected.headers.clear()
        return redirected


def main(plan: Path, folder: Path) -> None:
    headers = read_headers(os.environ.get("FETCH_HEADERS"))
    timeout = float(os.environ.get("FETCH_TIMEOUT", "30"))
    opener = urllib.request.build_opener(SafeRedirects())
    for item in json.loads(plan.read_text()):
        target = folder / item["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and digest_of(target) == item["sha256"]:  # from an earlier life of this container
            print(f"{item['path']} is there already")
            continue
        started = time.monotonic()
        size = fetch_with_retries(opener, item["url"], item["sha256"], target, headers, timeout)
        print(f"{item['path']}: {size} bytes in {time.monotonic() - started:.1f} s, digest as expected")


def read_headers(folder: str | None) -> dict[str, str]:
    """A mounted Secret: names that begin with a dot are Kubernetes' own links."""
    if folder is None:
        return {}
    return {path.name: path.read_text().strip() for path in Path(folder).iterdir() if path.name[0] != "."}


def fetch_with_retries(
    opener: Any, url: str, sha256: str, target: Path, headers: dict[str, str], timeout: float
) -> int:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return fetch(opener, url, sha256, target, headers, timeout)
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS:
                raise CannotFetch(f"{without_query(url)} answered {error.code} {error.reason}") from None
        except OSError as error:  # URLError is one
            if attempt == ATTEMPTS:
                raise CannotFetch(
                    f"{without_query(url)} cannot be fetched: {getattr(error, 'reason', error)}"
                ) from None
        time.sleep(attempt)
    raise AssertionError("unreachable")


def fetch(opener: Any, url: str, sha256: str, target: Path, headers: dict[str, str], timeout: float) -> int:
    digest, size = hashlib.sha256(), 0
    partial = target.with_name(target.name + ".partial")
    with (
        opener.open(urllib.request.Request(url, headers=headers), timeout=timeout) as response,
        partial.open("wb") as file,
    ):
        while chunk := response.read(CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
    if digest.hexdigest() != sha256:
        partial.unlink()
        raise CannotFetch(
            f"{without_query(url)} is not the file that was expected: its SHA-256 is {digest.hexdigest()}, the values "
            f"say {sha256}"
        )
    partial.rename(target)
    return size


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def without_query(url: str) -> str:
    """For messages: a query may hold a signature."""
    return url.partition("?")[0]


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except CannotFetch as error:
        sys.exit(f"{error}.")
