"""Every way to use the chart is accepted by the real API server."""

from pathlib import Path

import pytest

from tests.cluster.kubernetes import CHART, Namespace, helm

# Platform's names namespaces, a priority class, cert-manager's types and IPv6, which the test's cluster has not.
WAYS = [path for path in sorted((CHART / "ci").glob("*-values.yaml")) if path.stem != "platform-values"]


@pytest.mark.usefixtures("operators")
@pytest.mark.parametrize("values", WAYS, ids=lambda path: path.stem)
def test_the_api_server_accepts_it(values: Path, shared_namespace: Namespace, cluster: str) -> None:
    """As helm sends it, but nothing is stored; unknown and repeated fields are refused."""
    command = ["template", "iris", str(CHART), "--namespace", shared_namespace.name, "--kube-version", cluster]
    rendered = helm(*command, "--values", str(values))
    shared_namespace.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", "-", stdin=rendered)
