"""Writes what is derived from the chart: its README, the descriptions in its schema, and deploy/k8s. `make manifests`;
a test compares them with what this would write.

Needs helm; HELM names another one.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent
CHART = DEPLOY / "helm" / "slipway"
KUSTOMIZE = DEPLOY / "k8s"
KUBERNETES = "1.34"  # what a render assumes, whatever helm was built with
RELEASE = NAMESPACE = "slipway"

# Overlay: the values that it is rendered with. What they share is the base.
OVERLAYS = {"minimal": CHART / "ci" / "minimal-values.yaml", "production": CHART / "ci" / "production-values.yaml"}
BASE = "minimal"

WIDTH = 120  # of the schema's lines, where none is of one long text

HEADER = "# Rendered from deploy/helm/slipway by `make manifests`: change the chart instead.\n"

Object = dict[str, Any]


def helm(*arguments: str) -> str:
    command = [os.environ.get("HELM", "helm"), *arguments]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is missing: install Helm, or name it with HELM=…") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.stderr) from None


# --- the chart's README -----------------------------------------------------------------------------------------


def readme() -> str:
    """README.md.in with the table of values: a row for each key with a `# --` comment."""
    values = (CHART / "values.yaml").read_text()
    defaults = yaml.safe_load(values)
    explained = dict(comments(values))
    rows = []
    for path, text in explained.items():
        default = defaults
        for key in path:
            default = default[key]
        in_parts = isinstance(default, dict) and any((*path, key) in explained for key in default)
        rows.append(f"| `{'.'.join(path)}` | {'' if in_parts else code(default)} | {text} |")
    return (CHART / "README.md.in").read_text().replace("{values}", "\n".join(rows))


def code(value: object) -> str:
    return f"`{json.dumps(value)}`".replace("|", r"\|")


def comments(text: str) -> list[tuple[tuple[str, ...], str]]:
    """Path of a key, and the comment above it that begins with `# --`."""
    found: list[tuple[tuple[str, ...], str]] = []
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        key = re.match(r"( *)([A-Za-z_]+):", line)
        if match := re.match(r" *# -- (.*)", line):
            comment = [match[1]]
        elif comment and (match := re.match(r" *# (.*)", line)):
            comment.append(match[1])
        elif key:
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                found.append((tuple(path), " ".join(comment).replace("|", r"\|")))
            comment = []
        else:
            comment = []
    return found


# --- the schema of its values --------------------------------------------------------------------------------------


def schema() -> str:
    """values.schema.json, with the comments of values.yaml as descriptions, which editors and Artifact Hub show."""
    found: Object = json.loads((CHART / "values.schema.json").read_text())
    for path, text in comments((CHART / "values.yaml").read_text()):
        node = found
        for key in path:
            node = node.get("properties", {}).get(key, {})
        if node:
            node["description"] = text.replace("`", "").replace(r"\|", "|")
    return compact(found) + "\n"


def compact(node: Any, indent: int = 0, room: int = WIDTH) -> str:
    """JSON with each object or list on a line of its own where it fits. `room`: columns that are left on the line."""
    line = json.dumps(node, ensure_ascii=False)
    if not isinstance(node, dict | list) or not node or len(line) <= room:
        return line
    inner = indent + 2
    keys = [f"{json.dumps(key)}: " for key in node] if isinstance(node, dict) else [""] * len(node)
    values = node.values() if isinstance(node, dict) else node
    parts = [
        f"{' ' * inner}{key}{compact(value, inner, WIDTH - inner - len(key) - 1)}"
        for key, value in zip(keys, values, strict=True)
    ]
    opening, closing = "{}" if isinstance(node, dict) else "[]"
    return "\n".join([opening, ",\n".join(parts), " " * indent + closing])


# --- deploy/k8s --------------------------------------------------------------------------------------------------


def rendered(values: Path) -> dict[str, Object]:
    """The objects of a release by file name. They are not Helm's, so they do not say so."""
    arguments = ["--namespace", NAMESPACE, "--kube-version", KUBERNETES, "--no-hooks", "--values", str(values)]
    text = helm("template", RELEASE, str(CHART), *arguments)
    objects = {}
    for item in yaml.safe_load_all(text):
        labels = item["metadata"]["labels"]
        labels.pop("helm.sh/chart")
        labels.pop("app.kubernetes.io/managed-by")
        if item["kind"] == "Deployment":
            item["spec"]["template"]["metadata"]["labels"].pop("app.kubernetes.io/managed-by")
        objects[file_name(item)] = item
    return objects


def file_name(item: Object) -> str:
    suffix = item["metadata"]["name"].removeprefix(RELEASE)
    return f"{item['kind'].lower()}{suffix}.yaml"


def difference(old: Any, new: Any, path: str = "") -> list[Object]:
    """The JSON patch that turns one object into the other; lists are replaced as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        steps = []
        for key in sorted(old.keys() | new.keys()):
            at = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in new:
                steps.append({"op": "remove", "path": at})
            elif key not in old:
                steps.append({"op": "add", "path": at, "value": new[key]})
            else:
                steps += difference(old[key], new[key], at)
        return steps
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [step for i, pair in enumerate(zip(old, new, strict=True)) for step in difference(*pair, f"{path}/{i}")]
    return [] if old == new else [{"op": "replace", "path": path, "value": new}]


def kustomize() -> dict[str, str]:
    """Path below deploy/k8s to content: the base, and each overlay as what it adds to it."""
    releases = {name: rendered(values) for name, values in OVERLAYS.items()}
    base = {name: item for name, item in releases[BASE].items() if all(name in other for other in releases.values())}
    files: dict[str, Any] = {f"base/{name}": item for name, item in base.items()}
    files["base/kustomization.yaml"] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(base),
    }
    for overlay, objects in releases.items():
        added = {name: item for name, item in objects.items() if name not in base}
        patches = []
        for name, item in base.items():
            if steps := difference(item, objects[name]):
                files[f"overlays/{overlay}/patch-{name}"] = steps
                patches.append(
                    {"path": f"patch-{name}", "target": {"kind": item["kind"], "name": item["metadata"]["name"]}}
                )
        added["namespace.yaml"] = namespace()
        files |= {f"overlays/{overlay}/{name}": item for name, item in added.items()}
        files[f"overlays/{overlay}/kustomization.yaml"] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": NAMESPACE,
            "resources": ["../../base", *sorted(added)],
        } | ({"patches": patches} if patches else {})
    return {
        path: HEADER + yaml.dump(content, Dumper=Readable, sort_keys=False, width=1000)
        for path, content in files.items()
    }


class Readable(yaml.SafeDumper):
    """Text of several lines stays as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Readable.add_representer(str, _text)


def namespace() -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def derived() -> dict[Path, str]:
    """Every derived file and its content."""
    return {CHART / "README.md": readme(), CHART / "values.schema.json": schema()} | {
        KUSTOMIZE / path: content for path, content in kustomize().items()
    }


def existing() -> set[Path]:
    return {CHART / "README.md", CHART / "values.schema.json", *KUSTOMIZE.rglob("*.yaml")}


if __name__ == "__main__":
    wanted = derived()
    for path in existing() - wanted.keys():
        path.unlink(missing_ok=True)
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
