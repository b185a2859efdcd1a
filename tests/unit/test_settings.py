"""Settings are what they were at the start, whatever a model does to the process."""

from pathlib import Path

import pytest

from slipway.settings import Settings


def test_a_relative_path_means_the_folder_that_the_server_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        models="models",
        api_keys="keys",
        runtime_dir="run",
        log_spool="spool",
        tls_certificate="tls.crt",
        tls_key="/etc/tls.key",
    )
    monkeypatch.chdir("/")
    assert [settings.models, settings.api_keys, settings.runtime_dir, settings.log_spool, settings.tls_certificate] == [
        tmp_path / name for name in ("models", "keys", "run", "spool", "tls.crt")
    ]
    assert settings.tls_key == Path("/etc/tls.key")
    assert settings.log_database.get_secret_value() == f"sqlite:///{tmp_path}/slipway.db"


@pytest.mark.parametrize("url", ["sqlite:////var/lib/log.db", "postgresql://me:a%2Fb@db.example.org/slipway"])
def test_an_address_that_is_whole_stays_as_it_is(url: str) -> None:
    assert Settings(log_database=url).log_database.get_secret_value() == url
