"""helm test: asks the release for readiness, for its models and for predictions, and prints the answers. Exits 1
with a sentence.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

KEYS = Path("/etc/slipway/api-keys")
PATIENCE = 30.0  # seconds until the Service has endpoints
# By the Service's name inside the cluster, which a certificate for the outside does not hold: this tests the release,
# not the CA.
TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def call(path: str, body: object = None) -> Any:
    """The JSON answer; raises SystemExit with the problem otherwise."""
    headers = {"Content-Type": "application/json"}
    if KEYS.is_dir():
        keys = [path for path in sorted(KEYS.iterdir()) if path.name[0] != "."]
        if not keys:
            sys.exit("The Secret of apiKeys.existingSecret holds no key: add one per client.")
        headers["X-API-Key"] = keys[0].read_text().strip()
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(os.environ["URL"] + path, data, headers), timeout=30, context=TLS
        ) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{path} answered {error.code}: {error.read().decode()}")


def wait_until_reachable() -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            call("/ready")
            return
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"{os.environ['URL']} cannot be reached: {error}")
            time.sleep(0.5)


def requests() -> list[tuple[str, Any]]:
    """The one that the values ask for, else the example row of each model's default version."""
    if path := os.environ.get("REQUEST_PATH"):
        return [(path, json.loads(os.environ["REQUEST_BODY"]))]
    found = []
    for path, operations in call("/openapi.json")["paths"].items():
        if path.startswith("/models/") and path.endswith("/predict") and "/versions/" not in path:
            examples = operations["post"]["requestBody"]["content"]["application/json"].get("examples", {})
            found += [(path, example["value"]) for name, example in examples.items() if name == "one row"]
    return found


wait_until_reachable()
for model in call("/models")["models"]:
    for version in model["versions"]:
        print(f"{model['name']} {version['version']}: {version['state']}")
asked = requests()
for path, body in asked:
    print(f"POST {path} {json.dumps(body)}\n  {json.dumps(call(path, body))}")
if not asked:
    print("No model has an example row, so none was asked to predict: set test.path and test.body.")
