"""The OpenAPI document is true: Schemathesis asks every operation what the document allows and what it forbids, with
every check on.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
import schemathesis
from schemathesis.checks import CHECKS
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, StopReason, events, from_schema
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.python.asgi import shutdown_lifespans

from slipway.app import create_app
from slipway.http.body import SHORTEST_TIMEOUT
from slipway.packing.example_models import EXAMPLES, train_and_pack
from slipway.settings import Settings
from tests.support.zoo import ZOO

KEY = "s3cret"
MAX_ROWS = 20
# Without a manifest: texts, columns of unknown type, missing values, several outputs, a width that is not known.
BARE = (
    "text_pipeline",
    "column_transformer",
    "hist_gradient_boosting_missing",
    "forest_two_outputs",
    "multi_output_regressor",
    "k_means",
    "custom",
)
CONFIG = {
    "seed": 20261123,
    "headers": {"X-API-Key": KEY},
    "generation": {"deterministic": True, "database": "none", "max-examples": 10, "with-security-parameters": False},
    "checks": {
        "max_response_time": 10,
        "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 413, 415, 422]},
    },
    "operations": [
        {  # They answer for any model, so that their schema cannot say the number of features.
            "include-path": [
                "/predict",
                "/predict-safe",
                "/predict-slow",
                "/predict-threaded",
                "/predict-cached",
                "/predict-with-logging",
            ],
            "checks": {"positive_data_acceptance": {"enabled": False}},
        }
    ],
}
SHORT = 20.0  # seconds; a deadline below it may rightly be answered 504 on a slow machine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documented")
    for name in EXAMPLES:
        train_and_pack(name, folder)
    for specimen in ZOO:
        if specimen.name in BARE:
            path = folder / specimen.name / "1" / "model.joblib"
            path.parent.mkdir(parents=True)
            joblib.dump(specimen.estimator, path)
    (folder / "models.toml").write_text("[iris]\ndefault = true\n")
    return folder


@pytest.fixture(scope="module")
def schema(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    keys = tmp_path_factory.mktemp("keys")
    (keys / "tester").write_text(KEY)
    log = tmp_path_factory.mktemp("log")
    settings = Settings(
        models=folder,
        api_keys=keys,
        max_rows=MAX_ROWS,
        access_log=False,
        log_database=f"sqlite:///{log}/log.db",
        log_spool=log / "spool",
    )
    app = create_app(settings)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=schemathesis.Config.from_dict(CONFIG))
    schema.hook(map_case)
    schema.hook(filter_failure)
    yield schema
    shutdown_lifespans()


def map_case(_: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    """Drops the deadlines that may be answered 504: test_errors.py has those."""
    try:
        seconds = float(case.headers["X-Request-Timeout"])
    except (KeyError, TypeError, ValueError):
        return case
    if SHORTEST_TIMEOUT <= seconds < SHORT:
        del case.headers["X-Request-Timeout"]
    return case


def filter_failure(
    _: schemathesis.HookContext, failure: Failure, __: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """No schema can say which finite numbers are too large for an estimator to compute with, nor since when answers
    are kept.
    """
    sayings = ("urn:slipway:refused_by_model", "Expected the id of an answer that the log keeps")
    return not (isinstance(failure, RejectedPositiveData) and any(saying in response.text for saying in sayings))


def test_every_operation_answers_as_the_document_says(schema: Any) -> None:
    problems: list[str] = []
    tested: defaultdict[str, set[str]] = defaultdict(set)
    checked: set[str] = set()
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished(recorder=recorder, status=Status.SUCCESS | Status.FAILURE):
                tested[event.phase.value].add(recorder.label)
                for case, checks in recorder.checks.items():
                    checked.update(check.name for check in checks)
                    for failed in (check.failure_info for check in checks if check.failure_info):
                        answer = recorder.interactions[case].response
                        problems.append(
                            f"{failed.failure}\n{failed.code_sample}\n{answer and answer.status_code} "
                            f"{answer and answer.text[:1000]}"
                        )
            case events.ScenarioFinished(status=Status.ERROR | Status.INTERRUPTED):
                problems.append(f"{event.label} ended in phase {event.phase}: {event.status}")
            case events.NonFatalError() | events.FatalError():
                problems.append(f"Schemathesis failed: {event}")
            case events.EngineFinished():
                assert event.stop_reason is StopReason.COMPLETED
    if problems:
        raise AssertionError(f"{len(problems)} problems:\n" + "\n\n".join(problems[:20]))
    documented = {operation.ok().label for operation in schema.get_all_operations()}
    assert {f"POST /models/{name}/predict" for name in (*EXAMPLES, *BARE) if name != "custom"} < documented
    assert tested["coverage"] == tested["fuzzing"] == documented
    assert tested["stateful"]
    assert checked == {*CHECKS.get_all_names(), "max_response_time"}
