"""The folder of models: what counts as a model, which version is the highest, and models.toml."""

import random
from pathlib import Path

import pytest

from slipway.errors import ArtifactError
from slipway.model.manifest import Serving
from slipway.sources.folder import Overrides, find_models, read_overrides, version_key


def model(directory: Path, file: str = "model.joblib") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / file).touch()
    return directory


def found(folder: Path) -> list[tuple[str, str]]:
    return [(name, version) for name, version, _ in find_models(folder)]


def test_models_are_found_by_name_and_version(tmp_path: Path) -> None:
    for place in ("iris/9", "iris/10", "wine/1.10", "wine/1.2"):
        model(tmp_path / place)
    assert find_models(tmp_path) == [
        ("iris", "9", tmp_path / "iris/9"),
        ("iris", "10", tmp_path / "iris/10"),
        ("wine", "1.2", tmp_path / "wine/1.2"),
        ("wine", "1.10", tmp_path / "wine/1.10"),
    ]


def test_bare_models_are_version_1(tmp_path: Path) -> None:
    model(tmp_path)
    model(tmp_path / "iris")
    assert find_models(tmp_path) == [("iris", "1", tmp_path / "iris"), ("model", "1", tmp_path)]


def test_a_manifest_without_its_model_is_found_so_that_loading_it_can_fail(tmp_path: Path) -> None:
    model(tmp_path / "iris/1", "manifest.json")
    assert found(tmp_path) == [("iris", "1")]


def test_the_links_of_a_mounted_config_map_are_no_models(tmp_path: Path) -> None:
    model(tmp_path / "..2026_11_23/")
    (tmp_path / "..data").symlink_to("..2026_11_23")
    (tmp_path / "iris").mkdir()
    (tmp_path / "iris/model.joblib").symlink_to("../..data/model.joblib")
    assert found(tmp_path) == [("iris", "1")]


@pytest.mark.parametrize("name", [".packing-1", "lost+found", "a b", "é", "-a", "a" * 64])
def test_folders_that_cannot_be_names_are_no_models(tmp_path: Path, name: str) -> None:
    model(tmp_path / name / "1")
    model(tmp_path / "iris" / name)
    assert found(tmp_path) == []


def test_two_places_for_one_version_are_refused(tmp_path: Path) -> None:
    model(tmp_path / "iris")
    model(tmp_path / "iris/1")
    with pytest.raises(ArtifactError, match="both hold model iris 1: move one of them away"):
        find_models(tmp_path)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert find_models(tmp_path / "nowhere") == []


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(ArtifactError, match="cannot be read: Not a directory"):
        find_models(tmp_path / "models")


def test_versions_are_ordered_as_people_read_them() -> None:
    ordered = ["1", "1.2", "1.10", "2.0-rc1", "2.0-rc2", "2.0", "2.0.1", "9", "10", "2026-09-30", "2026-11-02"]
    shuffled = random.Random(0).sample(ordered, len(ordered))
    assert sorted(shuffled, key=version_key) == ordered
    assert sorted(["v10", "v9", "v1"], key=version_key) == ["v1", "v9", "v10"]


def test_overrides_replace_only_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(
        '[iris]\nversion = "2"\nlazy = true\n[wine]\nexecution = "thread"\ndefault = true\n'
    )
    overrides = read_overrides(tmp_path)
    assert overrides == {"iris": Overrides(version="2", lazy=True), "wine": Overrides(execution="thread", default=True)}
    assert overrides["iris"].applied_to(Serving(execution="process")) == Serving(execution="process", lazy=True)
    assert Overrides(lazy=False).applied_to(Serving(lazy=True, optional=True)) == Serving(optional=True)


def test_without_the_file_there_are_no_overrides(tmp_path: Path) -> None:
    assert read_overrides(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[iris]\nlayz = true",
            r"\[iris\] layz: Extra inputs are not permitted; the keys are version, default, "
            r"execution, batching, ",
        ),
        ("[iris]\nversion = 2", r"\[iris\] version: Input should be a valid string"),
        ('[iris]\nexecution = "gpu"', r"\[iris\] execution"),
        ('[iris]\nlazy = "yes"', r"\[iris\] lazy"),
        ('version = "2"', r"version must be a table: put the keys of a model under \[version\]"),
        ("[iris", "cannot be read"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_wrong_models_toml_is_refused_naming_what_is_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "models.toml").write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError, match=sentence):
        read_overrides(tmp_path)


def test_a_models_toml_without_an_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models.toml").symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match=r"models\.toml cannot be read: It is a device"):
        read_overrides(tmp_path)
