"""The pod of `helm test`, the notes that an install prints, and objects of the user's own."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from slipway import __version__
from tests.chart.helm import CHART, helm, notes, render

CI = CHART / "ci"


def is_helm_3() -> bool:
    return helm("version", "--template", "{{.Version}}").startswith("v3")


def test_helm_test_asks_the_service_from_inside_the_cluster() -> None:
    objects = render()
    pod = objects.one("Pod")
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["annotations"] == {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": f"before-hook-creation{'' if is_helm_3() else ',hook-succeeded'}",
        "linkerd.io/inject": "disabled",
    }
    assert container["image"] == objects.container["image"]
    assert container["args"] == [(CHART / "files" / "predict.py").read_text()]
    assert container["env"] == [{"name": "URL", "value": "http://iris-slipway.models.svc:80"}]
    assert "volumes" not in pod["spec"]


def test_helm_test_speaks_tls_and_has_a_key_where_one_is_asked_for() -> None:
    pod = render(CI / "keys-and-tls-values.yaml").one("Pod")["spec"]
    assert pod["containers"][0]["env"][0]["value"].startswith("https://")
    assert pod["volumes"][0]["secret"]["secretName"] == "clients"
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/etc/slipway/api-keys"


def test_helm_test_says_that_the_secret_holds_no_key(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()  # as an empty Secret is mounted
    script = (CHART / "files" / "predict.py").read_text().replace("/etc/slipway/api-keys", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", script], env={"URL": "http://127.0.0.1:9"}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The Secret of apiKeys.existingSecret holds no key: add one per client.\n"


def test_helm_test_predicts_what_the_values_say() -> None:
    environment = {
        variable["name"]: variable["value"]
        for variable in render(CI / "extras-values.yaml").one("Pod")["spec"]["containers"][0]["env"]
    }
    assert environment["REQUEST_PATH"] == "/predict"
    assert json.loads(environment["REQUEST_BODY"]) == {"features": [5.1, 3.5, 1.4, 0.2]}


def test_the_notes_forward_a_port_and_predict() -> None:
    text = notes({"service": {"port": 8080}})
    assert "  kubectl --namespace models port-forward service/iris-slipway 8000:8080\n" in text
    asked = """-H 'Content-Type: application/json' -d '{"features": [5.1, 3.5, 1.4, 0.2]}'"""
    assert f"  curl -s http://127.0.0.1:8000/predict {asked}\n" in text
    assert "  helm --namespace models test iris --logs" in text
    assert "X-API-Key" not in text


def test_the_notes_fetch_a_key_and_speak_tls() -> None:
    text = notes({"apiKeys": {"existingSecret": "clients"}, "tls": {"existingSecret": "iris-tls"}})
    assert "  KEY=$(kubectl --namespace models get secret clients " in text
    assert '  curl -sk -H "X-API-Key: $KEY" https://127.0.0.1:8000/predict ' in text


def test_the_notes_do_not_make_up_a_row_for_another_model() -> None:
    models = {"models": [{"name": "churn", "version": "3", "source": {"configMap": {"name": "churn-3"}}}]}
    assert "/predict" not in notes(models)
    asked = notes(models | {"test": {"path": "/models/churn/predict", "body": {"age": 3}}})
    assert """/models/churn/predict -H 'Content-Type: application/json' -d '{"age":3}'""" in asked


def test_the_notes_quote_a_body_for_the_shell() -> None:
    text = notes({"test": {"path": "/predict", "body": {"text": "it's"}}})
    (command,) = (line for line in text.splitlines() if "/predict" in line)
    assert json.loads(shlex.split(command)[-1]) == {"text": "it's"}


def test_the_notes_name_the_ways_in() -> None:
    hosts = [{"host": "models.example.org", "paths": [{"path": "/iris", "pathType": "Prefix"}]}]
    assert "http://models.example.org/iris" in notes({"ingress": {"enabled": True, "hosts": hosts}})
    assert re.search(r"node port:\n\n  kubectl", notes({"service": {"type": "NodePort"}}))
    route = {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["models.example.org"]}
    assert "http://models.example.org/\n" in notes({"httpRoute": route}) + "\n"


def test_objects_of_the_users_own_are_templates_as_maps_and_as_text() -> None:
    objects = render(CI / "extras-values.yaml")
    assert objects.one("ConfigMap", "iris-more")["data"] == {"namespace": "models"}
    assert objects.one("ConfigMap", "iris-text")["data"] == {"release": "iris"}


def test_the_service_account_is_made_or_named() -> None:
    account = render(CI / "extras-values.yaml").one("ServiceAccount")
    assert account["metadata"]["name"] == "iris-runner"
    assert "eks.amazonaws.com/role-arn" in account["metadata"]["annotations"]
    assert account["automountServiceAccountToken"] is False
    assert render().pod["serviceAccountName"] == "iris-slipway"
    without = render({"serviceAccount": {"create": False}})
    assert not without.all("ServiceAccount")
    assert without.pod["serviceAccountName"] == "default"
    assert render({"serviceAccount": {"create": False, "name": "mine"}}).pod["serviceAccountName"] == "mine"


def test_what_artifact_hub_shows_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    notes = {key.partition("/")[2]: yaml.safe_load(text) for key, text in chart["annotations"].items()}
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert [each["image"] for each in notes["images"]] == [render().container["image"]]
    assert {each["kind"] for each in notes["changes"]} <= {
        "added",
        "changed",
        "deprecated",
        "removed",
        "fixed",
        "security",
    }
    for each in notes["links"]:
        assert (CHART.parents[2] / each["url"].removeprefix(f"{chart['sources'][0]}/")).is_file()
    assert (CHART.parents[2] / chart["icon"].removeprefix(f"{chart['sources'][0]}/")).is_file()
    assert chart["maintainers"]
