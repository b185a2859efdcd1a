"""Renders the chart with helm, as `helm template` does, and reads the objects. HELM names another helm than the one
in PATH.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "slipway"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
KUBERNETES = "1.34.0"
RELEASE, NAMESPACE = "iris", "models"

Object = dict[str, Any]
Values = dict[str, Any]


class Refused(Exception):
    """The render failed; the text is helm's."""


class Objects:
    """The objects of one render, the test's pod among them."""

    def __init__(self, objects: list[Object]) -> None:
        self._objects = objects

    def __iter__(self) -> Iterator[Object]:
        return iter(self._objects)

    def all(self, kind: str) -> list[Object]:
        return [item for item in self._objects if item["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        (found,) = (item for item in self.all(kind) if name in (None, item["metadata"]["name"]))
        return found

    @property
    def pod(self) -> Object:
        """The spec of the Deployment's pods."""
        spec: Object = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Object:
        (found,) = (container for container in self.pod["containers"] if container["name"] == "slipway")
        return dict(found)

    @property
    def environment(self) -> dict[str, str]:
        """The variables whose values stand in the chart; others come from Secrets."""
        return {variable["name"]: variable["value"] for variable in self.container["env"] if "value" in variable}

    @property
    def mounts(self) -> dict[str, Object]:
        return {mount["mountPath"]: mount for mount in self.container["volumeMounts"]}

    @property
    def volumes(self) -> dict[str, Object]:
        return {volume["name"]: volume for volume in self.pod["volumes"]}


def helm(*arguments: str, values: Values | None = None) -> str:
    """What it prints. Raises Refused with what it complains about."""
    command = [os.environ.get("HELM", "helm"), *arguments]
    if values is not None:
        command += ["--values", "-"]
    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def template(
    values: Values | Path | None = None,
    *,
    chart: Path = CHART,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    kubernetes: str = KUBERNETES,
    arguments: tuple[str, ...] = (),
) -> str:
    command = ["template", release, str(chart), "--namespace", namespace, "--kube-version", kubernetes, *arguments]
    if isinstance(values, Path):
        return helm(*command, "--values", str(values))
    return helm(*command, values=values or {})


def render(values: Values | Path | None = None, **options: Any) -> Objects:
    return Objects([item for item in yaml.load_all(template(values, **options), yaml.CSafeLoader) if item])


def notes(values: Values | None = None) -> str:
    """NOTES.txt. `helm template` leaves it out and `helm install` may want a cluster, so it is rendered as part of
    an object.
    """
    with TemporaryDirectory() as folder:
        chart = Path(folder) / "slipway"
        shutil.copytree(CHART, chart)
        text = (chart / "templates" / "NOTES.txt").read_text()
        (chart / "templates" / "_notes.tpl").write_text('{{- define "notes" -}}' + text + "{{- end -}}")
        (chart / "templates" / "notes.yaml").write_text(
            '{kind: Notes, metadata: {name: notes}, text: {{ include "notes" . | toJson }}}'
        )
        rendered: str = render(values, chart=chart).one("Notes")["text"]
        return rendered
