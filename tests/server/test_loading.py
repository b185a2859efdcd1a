"""Models that raise what no model should when they are loaded, or end the process: what becomes of the server, and
of its next start.
"""

import hashlib
import json
import os
import pickle
import signal
import sys
from pathlib import Path

import pytest

from slipway.packing.example_models import train_and_pack
from tests.server.conftest import Start, bare
from tests.server.estimators import ENDS, RAISES, STOPS, Heavy, StuckInAChild, StuckInAWorker, WickedToLoad
from tests.server.running import Server
from tests.support import estimators
from tests.unit.system.test_cpu import machine


def optional(folder: Path, *names: str) -> None:
    tables = "".join(f"[{name}]\noptional = true\n" for name in names)
    (folder / "models.toml").write_text(f"{tables}[good]\ndefault = true\n")


def test_whatever_a_model_raises_at_its_loading_it_alone_is_not_served(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for name in RAISES:
        bare(folder, name, WickedToLoad(name).fit())
        bare(folder, f"lazy-{name}", WickedToLoad(name).fit())
    bare(folder, "good", estimators.Stub().fit())
    optional(folder, *RAISES)
    with (folder / "models.toml").open("a") as file:
        file.writelines(f"[lazy-{name}]\nlazy = true\n" for name in RAISES)
    server = start(models=folder)
    for name in RAISES:
        for model in (name, f"lazy-{name}"):
            answer = server.predict(model, [0, 0])
            assert (answer.status, answer.json()["type"]) == (503, "urn:slipway:model_failed")
            assert name in answer.json()["detail"]
            assert len(answer.body) < 1_500
            assert str(folder) not in answer.json()["detail"], "where its file is, the log says"
            assert server.get(f"/models/{model}").status == 200
    assert server.get("/models").status == 200
    assert str(folder) in server.logged("model huge 1 is not served")[0]["message"]
    assert max(len(line["message"]) for line in server.log()) < 10_000
    assert server.predict("good", [0, 0]).status == 200


@pytest.mark.parametrize("does", [*ENDS, "exit in a thread"])
def test_an_optional_model_that_ends_the_process_is_named_and_left_out_of_the_next_start(
    start: Start, tmp_path: Path, does: str
) -> None:
    folder = tmp_path / "models"
    mended = tmp_path / "mended"
    bare(folder, "a-good-one", estimators.Stub().fit())
    bare(folder, "deadly", WickedToLoad(does, str(mended)).fit())
    bare(folder, "good", estimators.Stub().fit())
    optional(folder, "deadly")
    first = start(models=folder, wait=False)
    first.message.touch()
    assert first.process.wait(60) not in (0, None)
    assert "model deadly 1" in first.log()[-1]["message"]
    assert "model deadly 1" in first.message.read_text()

    second = start(models=folder, port=first.port)
    assert second.predict("good", [0, 0]).status == 200
    assert second.predict("deadly", [0, 0]).status == 503
    assert second.message.read_text() == ""
    second.process.kill()
    second.process.wait()

    mended.touch()
    os.utime(folder / "deadly" / "1" / "model.joblib")  # another file, as far as anybody can tell
    third = start(models=folder, port=first.port)
    assert third.predict("deadly", [0, 0]).status == 200


def test_a_model_that_would_stop_or_replace_the_process_that_loads_it_is_not_served(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    for name in STOPS:
        bare(folder, name, WickedToLoad(name).fit())
    bare(folder, "good", estimators.Stub().fit())
    optional(folder, *STOPS)
    server = start(models=folder)
    assert {name: server.predict(name, [0, 0]).status for name in STOPS} == dict.fromkeys(STOPS, 503)
    assert server.predict("good", [0, 0]).status == 200


def test_an_optional_model_that_hangs_while_it_loads_is_named_and_left_out_of_the_start_after_a_stop(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    bare(folder, "deadly", WickedToLoad("sleep").fit())
    bare(folder, "good", estimators.Stub().fit())
    optional(folder, "deadly")
    first = start(models=folder, wait=False, load_timeout=1)
    first.message.touch()
    first.until(lambda: first.logged("still loading model deadly 1 after 1 s") != [])
    first.until(lambda: "model deadly 1" in first.message.read_text())  # it is written after the line
    first.signal(signal.SIGTERM)
    assert first.process.wait(20) == 0
    assert first.logged("stopped while model deadly 1 was loaded for more than 1 s")

    second = start(models=folder, port=first.port)
    assert second.predict("good", [0, 0]).status == 200
    assert second.predict("deadly", [0, 0]).status == 503


def test_an_expected_model_is_tried_at_every_start(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    bare(folder, "deadly", WickedToLoad("crash").fit())
    port = None
    for _ in range(2):
        server: Server = start(models=folder, wait=False, **({} if port is None else {"port": port}))
        port = server.port
        assert server.process.wait(60) not in (0, None)
        assert "model deadly 1" in server.log()[-1]["message"]


def test_a_lazy_model_that_ends_its_workers_is_set_aside(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    bare(folder, "deadly", WickedToLoad("exit 3").fit())
    bare(folder, "good", estimators.Stub().fit())
    (folder / "models.toml").write_text("[deadly]\nlazy = true\n[good]\ndefault = true\n")
    server = start(models=folder)
    for died in (1, 2, 3):
        with pytest.raises(OSError):  # noqa: PT011
            server.predict("deadly", [0, 0])
        series = 'slipway_inferences_lost_total{model="deadly",reason="died",version="1"}'
        server.until(lambda: server.metrics().get(series) == died and len(server.workers()) == 2)  # noqa: B023
    server.until(lambda: server.predict("good", [0, 0]).status == 200)
    # Each worker looks at the board every two seconds.
    server.until(lambda: [answered(server, "deadly") for _ in range(4)] == [503] * 4)


def answered(server: Server, model: str) -> int:
    """The status; 0 where the worker has died of it."""
    try:
        return server.predict(model, [0, 0]).status
    except OSError:
        return 0


def hung(server: Server, model: str) -> float:
    return server.metrics().get(f'slipway_inferences_lost_total{{model="{model}",reason="hung",version="1"}}', 0)


@pytest.mark.parametrize("where", ["worker", "child"])
def test_an_optional_model_that_hangs_in_its_warm_up_keeps_nobody_else_from_being_served(
    start: Start, tmp_path: Path, where: str
) -> None:
    folder = tmp_path / "models"
    bare(folder, "stuck", (StuckInAWorker() if where == "worker" else StuckInAChild()).fit())
    bare(folder, "zoe", estimators.Stub().fit())
    execution = "auto" if where == "worker" else "process"
    (folder / "models.toml").write_text(f'[stuck]\noptional = true\nexecution = "{execution}"\n[zoe]\ndefault = true\n')
    server = start(models=folder, workers=1, request_timeout=1, load_timeout=3)
    assert server.predict("zoe", [0, 0]).status == 200
    assert server.predict("stuck", [0, 0]).status == 503
    assert hung(server, "stuck") >= 1
    doing = "check" if where == "worker" else "load"
    assert server.logged(f"model stuck 1 ({doing}): ")
    assert not server.logged("WORKER TIMEOUT")


def test_a_lazy_model_that_hangs_while_it_loads_is_given_up_and_others_load_after_it(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    bare(folder, "deadly", WickedToLoad("sleep").fit())
    bare(folder, "lazy", estimators.Stub().fit())
    bare(folder, "good", estimators.Stub().fit())
    (folder / "models.toml").write_text("[deadly]\nlazy = true\n[lazy]\nlazy = true\n[good]\ndefault = true\n")
    server = start(models=folder, workers=1, request_timeout=1, load_timeout=2)
    for strikes in (1, 2, 3):
        workers = server.workers()
        assert server.predict("deadly", [0, 0]).status == 503
        server.until(lambda: hung(server, "deadly") == strikes)  # noqa: B023
        server.until(lambda: server.predict("lazy", [0, 0]).status == 200)
        server.until_workers(1, without=workers)
    assert server.logged("model deadly 1 (load): it has not been loaded within 2 s")
    server.until(lambda: "set aside: 3 times" in server.predict("deadly", [0, 0]).json().get("detail", ""))
    assert server.predict("lazy", [0, 0]).status == 200


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("digest", "model.joblib is not the file that was packed: its digest is"),
        ("manifest", "manifest.json is not a valid manifest: name: Field required"),
        ("version", "Packed with scikit-learn 0.1, but "),
        ("module", "needs the Python module 'nowhere_to_be_foundddddd', which is not installed here"),
        ("file", "model.joblib does not exist"),
    ],
)
def test_an_expected_model_that_no_later_try_can_load_ends_the_start_at_once_with_the_sentence(
    start: Start, tmp_path: Path, fault: str, sentence: str
) -> None:
    folder = tmp_path / "models"
    break_iris(folder, fault)
    server = start(models=folder, wait=False, compiled=False)
    server.message.touch()
    assert server.process.wait(60) == 1
    assert sentence in server.message.read_text()
    assert server.message.read_text().startswith("model iris 1 cannot be served: ")
    assert server.log()[-1]["message"] == server.message.read_text()
    assert server.log()[-1]["level"] == "critical"


@pytest.mark.parametrize("serving", ["optional", "lazy"])
def test_a_model_that_is_not_expected_keeps_no_server_from_its_start(
    start: Start, tmp_path: Path, serving: str
) -> None:
    folder = tmp_path / "models"
    break_iris(folder, "digest")
    bare(folder, "good", estimators.Stub().fit())
    (folder / "models.toml").write_text(f"[iris]\n{serving} = true\n[good]\ndefault = true\n")
    server = start(models=folder)
    assert server.predict("good", [0, 0]).status == 200
    assert server.predict("iris", [0, 0, 0, 0]).status == 503


def test_at_a_reload_a_broken_model_neither_ends_the_server_nor_makes_it_unready(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    bare(folder, "good", estimators.Stub().fit())
    server = start(models=folder)
    workers = server.workers()
    break_iris(folder, "digest")
    server.signal(signal.SIGHUP)
    server.until(lambda: not set(workers) & set(server.workers()))
    assert server.is_ready()
    assert server.predict("iris", [0, 0, 0, 0]).status == 503
    assert server.predict("good", [0, 0]).status == 200


def in_a_container_of(root: Path, limit: float) -> list[str]:
    """`slipway` as it runs where the memory limit is `limit` bytes, of which half are in use."""
    machine(root, "0::/", **{"memory.max": f"{limit:.0f}", "memory.stat": f"anon {limit // 2:.0f}"})
    code = "from pathlib import Path; from slipway.cli.entry import main; from slipway.system import memory"
    return [
        sys.executable,
        "-c",
        f"{code}; memory.ROOT = Path({str(root)!r}); main()",
    ]


def test_what_is_loaded_and_its_size_stand_in_the_log_and_what_cannot_fit_is_refused_with_the_limit_to_set(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    bare(folder, "large", Heavy(20_000_000).fit())
    refused = start(models=folder, wait=False, command=in_a_container_of(tmp_path / "small", 30e6))
    assert refused.process.wait(60) == 1
    assert refused.logged("loading model large 1 (20 MB)")
    assert refused.log()[-1]["message"] == (
        "model large 1 cannot be served: Its file has 20 MB, and 15 MB of the memory limit of 30 MB are in use: "
        "set the limit (resources.limits.memory) to 161Mi or more"
    )
    assert start(models=folder, command=in_a_container_of(tmp_path / "large", 60e6)).predict("large", [0]).status == 200


def test_a_lazy_or_optional_model_that_cannot_fit_keeps_nobody_else_from_being_served(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    for name in ("lazy", "optional"):
        bare(folder, name, Heavy(20_000_000).fit())
    bare(folder, "good", estimators.Stub().fit())
    (folder / "models.toml").write_text("[lazy]\nlazy = true\n[optional]\noptional = true\n[good]\ndefault = true\n")
    server = start(models=folder, command=in_a_container_of(tmp_path / "small", 30e6))
    assert server.predict("good", [0, 0]).status == 200
    for name in ("lazy", "optional"):
        answer = server.predict(name, [0])
        assert answer.status == 503
        assert "set the limit" in answer.json()["detail"]


def break_iris(folder: Path, fault: str) -> None:
    train_and_pack("iris", folder)
    model, manifest = (folder / "iris" / "1" / name for name in ("model.joblib", "manifest.json"))
    if fault == "digest":
        model.write_bytes(model.read_bytes() + b"\0")
    elif fault == "file":
        model.unlink()
    elif fault == "module":
        content = pickle.dumps(estimators.Stub().fit()).replace(
            estimators.__name__.encode(), b"nowhere_to_be_found".ljust(len(estimators.__name__), b"d")
        )
        model.write_bytes(content)
        told = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(told | {"digest": "sha256:" + hashlib.sha256(content).hexdigest()}))
    else:
        told = json.loads(manifest.read_text())
        told.pop("name") if fault == "manifest" else told["libraries"].update({"scikit-learn": "0.1"})
        manifest.write_text(json.dumps(told))
