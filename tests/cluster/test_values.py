"""Every way to use the chart is accepted by the real API server."""

from pathlib import Path

import pytest
import yaml

from tests.cluster.kubernetes import CHART, Namespace, helm


@pytest.mark.usefixtures("operators")
@pytest.mark.parametrize("values", sorted((CHART / "ci").glob("*-values.yaml")), ids=lambda path: path.stem)
def test_the_api_server_accepts_it(values: Path, shared_namespace: Namespace, cluster: str) -> None:
    """As helm sends it, but nothing is stored; unknown and repeated fields are refused."""
    command = ["template", "iris", str(CHART), "--namespace", shared_namespace.name, "--kube-version", cluster]
    objects = [item for item in yaml.safe_load_all(helm(*command, "--values", str(values))) if item]
    known = [item for item in objects if item["kind"] != "Certificate"]  # cert-manager is not in the cluster
    for item in known:
        item["metadata"]["namespace"] = shared_namespace.name  # nor are the namespaces that values name
    rendered = yaml.safe_dump_all(known)
    shared_namespace.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", "-", stdin=rendered)
