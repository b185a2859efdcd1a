"""Models come from real servers as they were put there, or a sentence says why not."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from slipway.errors import ArtifactError
from slipway.model.artifact import open_model
from slipway.model.verify import Trusted
from slipway.sources.folder import find_models
from tests.sources.conftest import Place, X, fetch, files_of, packed, put_s3, slipway


def fetched_in(done: object) -> Path:
    output = str(getattr(done, "stdout", ""))
    assert getattr(done, "returncode", None) == 0, done
    return Path(output.split()[-1])


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_a_folder_of_a_bucket_arrives_whole(
    kind: str, models: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place: Place = request.getfixturevalue(kind)
    folder = fetched_in(fetch(place, tmp_path / "cache"))
    assert files_of(folder) == files_of(models)
    again = fetch(place, tmp_path / "cache")
    assert again.stdout.startswith("Unchanged:")


def test_what_has_changed_in_a_bucket_is_fetched_alone(s3: Place, tmp_path: Path) -> None:
    folder = fetched_in(fetch(s3, tmp_path / "cache"))
    before = (folder / "iris/1/model.skops").stat().st_ino
    put_s3(s3.environment, packed(tmp_path, "2"))
    assert fetched_in(fetch(s3, tmp_path / "cache")) == folder
    assert [version for _, version, _ in find_models(folder)] == ["1", "2"]
    assert (folder / "iris/1/model.skops").stat().st_ino == before


@pytest.mark.parametrize("key", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials_are_called_so(key: str, s3: Place, tmp_path: Path) -> None:
    done = fetch(s3, tmp_path / "cache", **{key: "wrong"})
    assert done.returncode == 2
    assert "s3://bucket/models refuses these credentials" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_of_azure_is_called_so(azure: Place, tmp_path: Path) -> None:
    done = fetch(azure, tmp_path / "cache", AZURE_STORAGE_ACCOUNT_KEY="d3Jvbmc=")
    assert (done.returncode, "refuses these credentials" in done.stderr) == (2, True), done.stderr


def test_a_corrupted_file_is_not_put_in_place(s3: Place, models: Path, tmp_path: Path) -> None:
    folder = fetched_in(fetch(s3, tmp_path / "cache"))
    worse = tmp_path / "worse"
    for name, content in files_of(models).items():
        (worse / name).parent.mkdir(parents=True, exist_ok=True)
        (worse / name).write_bytes(content.replace(b"PK", b"PX", 1) if name.endswith(".skops") else content)
    put_s3(s3.environment, worse)
    done = fetch(s3, tmp_path / "cache")
    assert (done.returncode, "is not the file that was packed" in done.stderr) == (2, True), done.stderr
    assert files_of(folder) == files_of(models)


def test_what_is_pushed_to_a_registry_comes_back(registry: Place, models: Path, tmp_path: Path) -> None:
    pushed = slipway("push", models, registry.address)
    assert pushed.returncode == 0, pushed.stderr
    digest = pushed.stdout.strip().rpartition("@")[2]
    by_digest = registry._replace(address=registry.address.rpartition(":")[0] + f"@{digest}")
    for place in (registry, by_digest):
        assert files_of(fetched_in(fetch(place, tmp_path / "cache"))) == files_of(models)
    assert slipway("push", models, registry.address).stdout == pushed.stdout
    wrong = registry._replace(address=registry.address.rpartition(":")[0] + "@sha256:" + "0" * 64)
    done = fetch(wrong, tmp_path / "cache")
    assert (done.returncode, "answered 404" in done.stderr) == (2, True), done.stderr


def test_a_layer_is_what_image_volumes_mount(registry: Place, models: Path) -> None:
    slipway("push", models, registry.address)
    name = "models/iris"
    asked = urllib.request.Request(
        f"http://127.0.0.1:{registry.port}/v2/{name}/manifests/1",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
    )
    with urllib.request.urlopen(asked) as answer:
        manifest = json.loads(answer.read())
    with urllib.request.urlopen(
        f"http://127.0.0.1:{registry.port}/v2/{name}/blobs/{manifest['config']['digest']}"
    ) as answer:
        config = json.loads(answer.read())
    assert config["rootfs"]["type"] == "layers"
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 1


@pytest.mark.parametrize("name", ["iris", "pickled", "boosted", "leaves"])
def test_a_model_of_a_registry_of_mlflow_answers_as_it_did_there(
    name: str, mlflow: Place, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = mlflow._replace(address="models:/iris@champion" if name == "iris" else f"models:/{name}/1")
    folder = fetched_in(fetch(place, tmp_path / "cache"))
    assert [(each, version) for each, version, _ in find_models(folder)] == [(name, "1")]
    if name == "leaves":
        with pytest.raises(ArtifactError, match="asks for types that are not on your list"):
            open_model(folder / name / "1")
    trusted = ("collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier")
    artifact = open_model(folder / name / "1", trusted=Trusted(trusted if name == "leaves" else ()))
    names = artifact.signature.names or []
    rows = [dict(zip(names, row, strict=True)) for row in X.tolist()]
    answers = artifact.model.infer(artifact.validator(len(X)).instances(rows).data)
    told = json.loads(next(tmp_path_factory.getbasetemp().glob("mlflow*/answers.json")).read_text())[name]
    assert answers.predictions == told["predictions"]
    np.testing.assert_allclose(answers.probabilities, told["probabilities"], atol=1e-9)


def test_an_alias_that_mlflow_does_not_have_is_called_so(mlflow: Place, tmp_path: Path) -> None:
    done = fetch(mlflow._replace(address="models:/iris@nobody"), tmp_path / "cache")
    assert done.returncode == 2
    assert "answered 40" in done.stderr


@pytest.mark.parametrize("kind", ["s3", "registry"])
def test_a_server_that_is_down_is_told_apart(kind: str, tmp_path: Path) -> None:
    address = {"s3": "s3://bucket/models", "registry": "oci://127.0.0.1:9/models/iris:1"}[kind]
    environment = {"AWS_ENDPOINT": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    done = fetch(Place(address, environment | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, 9), tmp_path)
    assert (done.returncode, "cannot be reached" in done.stderr) == (3, True), done.stderr
