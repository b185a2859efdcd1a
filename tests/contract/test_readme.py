"""What the README shows happens as it shows it."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from slipway.packing.example_models import train_and_pack
from tests.server.running import Server
from tests.support.readme import README, Example, agrees, examples, request

TEXT = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The iris example, served as `make run` serves it."""
    folder = tmp_path_factory.mktemp("readme")
    train_and_pack("iris", folder / "models")
    with Server(folder / "models", folder) as running:
        yield running


def test_it_shows_what_a_newcomer_wants_to_see() -> None:
    paths = [request(example.command).path for example in examples()]
    assert paths.count("/predict") >= 2
    assert "/models/iris/predict" in paths
    assert "```mermaid" in TEXT


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.command)
def test_curl_lines_answer_as_printed(server: Server, example: Example) -> None:
    asked = request(example.command)
    answer = httpx.request(
        asked.method, f"http://127.0.0.1:{server.port}{asked.path}", headers=asked.headers, content=asked.body
    )
    assert answer.status_code == example.answer.get("status", 200)  # a problem states its own
    assert agrees(example.answer, answer.json()), answer.text


def test_three_lines_serve_a_model_of_ones_own(tmp_path: Path) -> None:
    data = load_iris(as_frame=True).frame.rename(columns={"target": "churned"})
    joblib.dump(
        LogisticRegression(max_iter=1000).fit(data.drop(columns="churned"), data["churned"]), tmp_path / "model.joblib"
    )
    data.to_csv(tmp_path / "churn.csv", index=False)
    block = re.search(r"```console\n(\$ slipway pack .*?)```", TEXT, re.DOTALL)
    assert block is not None
    *prepare, serve = (shlex.split(line.removeprefix("$ slipway ")) for line in block[1].splitlines())
    command = f"import sys; sys.path.insert(0, {str(README.parent)!r}); from slipway.cli.main import main; main()"
    for arguments in prepare:
        done = subprocess.run(
            [sys.executable, "-c", command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert serve == ["serve"]
    with Server(tmp_path / "models", tmp_path) as server:
        answer = server.ask("POST", "/models/churn/predict", dict.fromkeys(data.columns.drop("churned"), 1.0))
    assert answer.status == 200
    assert answer.json()["prediction"] in (0, 1, 2)


def test_its_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT) if "://" not in target]
    assert targets
    assert [target for target in targets if not (README.parent / target).exists()] == []


def test_its_make_targets_exist() -> None:
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^\$ make ([a-z-]+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target
