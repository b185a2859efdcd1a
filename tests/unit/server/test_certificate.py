"""The certificate of a server, whose files change while it serves."""

import os
import ssl
import time
from pathlib import Path

import pytest

from slipway.server.certificate import CannotRenew, Certificate
from slipway.settings import Settings
from slipway.system.runtime_dir import CannotStart
from tests.support.certificate import self_signed


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return self_signed(tmp_path, "IP:127.0.0.1")


def test_without_files_plain_http_is_served() -> None:
    assert Certificate.of(Settings()) is None


def test_a_certificate_without_its_key_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(CannotStart, match="go together"):
        Certificate.of(Settings(tls_certificate=files[0]))


def test_one_that_is_none_is_refused_at_the_start(files: tuple[Path, Path]) -> None:
    files[0].write_text("no certificate")
    with pytest.raises(CannotStart, match="cannot be used with the key"):
        Certificate.of(Settings(tls_certificate=files[0], tls_key=files[1]))


def test_it_knows_until_when_it_is_valid(files: tuple[Path, Path]) -> None:
    assert Certificate(*files).expires == pytest.approx(time.time() + 86_400, abs=120)


def test_files_that_stay_are_not_read_again(files: tuple[Path, Path]) -> None:
    certificate = Certificate(*files)
    context = certificate.context
    assert not certificate.renew()
    assert certificate.context is context


def test_files_that_are_swapped_behind_a_link_are_served(tmp_path: Path) -> None:
    """As the kubelet does: names that stay, through a link to a folder that is replaced by a rename."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        self_signed(tmp_path / version, "IP:127.0.0.1")
    (tmp_path / "..data").symlink_to("1")
    names = [tmp_path / name for name in ("server.crt", "server.key")]
    for name in names:
        name.symlink_to(Path("..data") / name.name)
    certificate = Certificate(names[0], names[1])
    context = certificate.context
    (tmp_path / "..tmp").symlink_to("2")
    os.replace(tmp_path / "..tmp", tmp_path / "..data")
    assert certificate.renew()
    assert certificate.context is not context
    assert not certificate.renew()


def test_a_key_that_does_not_fit_is_told_once_and_what_was_served_is_served_on(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    others = self_signed(tmp_path / "other", "IP:127.0.0.1")
    certificate = Certificate(*files)
    context, expires = certificate.context, certificate.expires
    files[1].write_bytes(others[1].read_bytes())
    with pytest.raises(CannotRenew, match="the one before is served on, and is valid until 2"):
        certificate.renew()
    assert not certificate.renew()
    assert (certificate.context, certificate.expires) == (context, expires)
    files[0].write_bytes(others[0].read_bytes())  # the other half of the change
    assert certificate.renew()
    assert isinstance(certificate.context, ssl.SSLContext)


def test_a_file_that_is_gone_for_a_moment_is_told_and_taken_up_when_it_is_back(files: tuple[Path, Path]) -> None:
    certificate, content = Certificate(*files), files[0].read_bytes()
    files[0].unlink()
    with pytest.raises(CannotRenew, match="No such file"):
        certificate.renew()
    files[0].write_bytes(content)
    assert certificate.renew()
