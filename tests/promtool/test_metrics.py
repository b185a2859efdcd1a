"""What Prometheus' own linter says of /metrics, after requests that touch every metric."""

import subprocess
from pathlib import Path

from slipway.packing.example_models import train_and_pack
from tests.server.running import Server


def test_promtool_has_nothing_to_say_about_the_metrics(tmp_path: Path) -> None:
    train_and_pack("iris", tmp_path / "models")
    with Server(tmp_path / "models", tmp_path) as server:
        for path in ("/predict", "/predict-cached", "/predict-cached"):
            assert server.ask("POST", path, {"features": [5.1, 3.5, 1.4, 0.2]}).status == 200
        assert server.ask("POST", "/predict", {"features": [5.1]}).status == 400
        text = server.get("/metrics").body
    assert b"slipway_inference_duration_seconds_bucket" in text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout + done.stderr == b""
