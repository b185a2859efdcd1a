"""Settings as they are kept: what a path means is decided at the start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from slipway.prediction_log.stores.address import address
from slipway.settings import Settings

PATHS = [
    "models",
    "fetch_cache",
    "fetch_headers",
    "trust_key",
    "api_keys",
    "tls_certificate",
    "tls_key",
    "runtime_dir",
    "log_spool",
]


@pytest.mark.parametrize("name", PATHS)
def test_a_relative_path_is_taken_from_the_folder_of_the_start(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "now")  # it may be turned while the server runs
    settings = Settings(**{name: Path("link/there")})  # type: ignore[arg-type]
    assert getattr(settings, name) == tmp_path / "link" / "there"


def test_there_is_no_other_path() -> None:
    assert [name for name, hint in Settings.__annotations__.items() if "Path" in str(hint)] == PATHS


def test_defaults_are_taken_from_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.models == tmp_path / "models"
    assert settings.log_spool == tmp_path / "slipway-spool"
    assert address(settings.log_database.get_secret_value()).path == tmp_path / "slipway.db"


@pytest.mark.parametrize(
    "url", ["sqlite:///", "sqlite:///:memory:", "sqlite:////there/x.db", "postgresql://u:p@h:1/d", "postgresql:///d"]
)
def test_an_address_that_names_no_relative_file_is_left_alone(url: str) -> None:
    assert Settings(log_database=url).log_database.get_secret_value() == url  # type: ignore[arg-type]


def test_the_metrics_port_is_another_than_the_port() -> None:
    with pytest.raises(ValidationError, match="must be another port than SLIPWAY_PORT"):
        Settings(port=8123, metrics_port=8123)


@pytest.mark.parametrize("address", ["s3://bucket/models", "oci://r.example.org/m:1", "models:/iris@champion"])
def test_an_address_of_models_is_where_they_are_fetched_from(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", address)
    assert Settings().source == address
    assert Settings().models == Path("models").absolute()
