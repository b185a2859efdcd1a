"""Models from every source that a cluster without registries has, and keys and TLS in front of them."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

from tests.cluster.kubernetes import IMAGE, ROW, Namespace, Object, Release, one_node, run, wait_for
from tests.support.certificate import self_signed

Pack = Callable[[str], Path]


def states(release: Release) -> dict[str, str]:
    """name/version to state, as GET /models has them."""
    with release.client() as client:
        models = client.get("/models").json()["models"]
    return {
        f"{model['name']}/{version['version']}": version["state"] for model in models for version in model["versions"]
    }


def test_several_models_from_a_config_map_and_a_secret_next_to_the_example(release: Release, packed: Pack) -> None:
    namespace, diabetes = release.namespace, packed("diabetes")
    namespace.config_map("diabetes-1", diabetes)
    namespace.kubectl("create", "secret", "generic", "bare", f"--from-file=classifier={diabetes / 'model.joblib'}")
    secret = {"secretName": "bare", "items": [{"key": "classifier", "path": "model.joblib"}]}
    release.install(
        {
            "models": [
                {"source": {"baked": True}},
                {"name": "diabetes", "version": "1", "source": {"configMap": {"name": "diabetes-1"}}},
                {"name": "bare", "source": {"secret": secret}},
            ],
            "modelSettings": {"diabetes": {"default": True}, "bare": {"lazy": True}},
        }
    )
    assert states(release) == {"iris/1": "ready", "diabetes/1": "ready", "bare/1": "unloaded"}
    with release.client() as client:
        answer = client.post("/predict", json={"features": [0.0] * 10})
        assert answer.headers["X-Model"] == "diabetes"  # models.toml has been read
    assert "POST /models/diabetes/predict" in release.test()


def test_models_on_a_volume_as_one_folder(lax_namespace: Namespace) -> None:
    """Lax for the packer, which is root: not every provisioner lets anybody else write to a new volume."""
    namespace = lax_namespace
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    packer = {**PACKER, "spec": {**PACKER["spec"], "nodeSelector": one_node()}}
    namespace.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": claim}, packer
    )
    wait_for(lambda: namespace.get("pod", "packer")["status"]["phase"] == "Succeeded", "the end of slipway example")
    release = Release(namespace)
    release.install(
        {"models": [{"source": {"persistentVolumeClaim": {"claimName": "models"}}}], "nodeSelector": one_node()}
    )
    assert states(release) == {"iris/1": "ready", "breast-cancer/1": "ready"}


# Writes two examples to a volume, as a training job would.
PACKER: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "packer"},
    "spec": {
        "restartPolicy": "Never",
        "securityContext": {"runAsUser": 0},
        "containers": [
            {
                "name": "packer",
                "image": IMAGE,
                "command": [
                    "sh",
                    "-c",
                    "slipway example iris --output /volume && slipway example breast-cancer --output /volume",
                ],
                "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
            }
        ],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": "models"}}],
    },
}


SERVER = """
import http.server, ssl
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") != "Bearer token":
            self.send_error(401)
        else:
            super().do_GET()
server = http.server.ThreadingHTTPServer(("", 8443), lambda *args: Handler(*args, directory="/models/iris/1"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def artifacts() -> list[Object]:
    """A server of the example's files that asks for a token, and its Service."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "server",
        "image": IMAGE,
        "command": ["python", "-c", SERVER],
        "securityContext": context,
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "securityContext": user,
        "containers": [container],
        "volumes": [{"name": "tls", "secret": {"secretName": "artifacts"}}],
    }
    metadata = {"name": "artifacts", "labels": {"app": "artifacts"}}
    service = {"selector": {"app": "artifacts"}, "ports": [{"port": 443, "targetPort": 8443}]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "artifacts"}, "spec": service},
    ]


def test_a_model_is_fetched_over_https_with_credentials_and_verified(release: Release, tmp_path: Path) -> None:
    namespace = release.namespace
    crt, key = self_signed(tmp_path, "DNS:artifacts")
    namespace.kubectl("create", "secret", "tls", "artifacts", f"--cert={crt}", f"--key={key}")
    namespace.kubectl("create", "configmap", "ca", f"--from-file=ca.crt={crt}")
    namespace.kubectl("create", "secret", "generic", "credentials", "--from-literal=Authorization=Bearer token")
    namespace.apply(*artifacts())
    namespace.kubectl("wait", "--for=condition=Ready", "pod/artifacts", "--timeout=60s")

    def digest(file: str) -> str:
        encoded = namespace.kubectl("exec", "artifacts", "--", "base64", f"/models/iris/1/{file}")
        return hashlib.sha256(base64.b64decode(encoded)).hexdigest()

    files = {"model": "model.joblib", "manifest": "manifest.json"}
    fetch = {kind: {"url": f"https://artifacts/{file}", "sha256": digest(file)} for kind, file in files.items()}
    release.install(
        {
            "models": [{"name": "iris", "version": "1", "source": {"fetch": fetch}}],
            "fetch": {"headersSecret": "credentials", "caConfigMap": {"name": "ca"}},
            "networkPolicy": {"egress": [{"ports": [{"port": 8443}]}]},
        }
    )
    assert states(release) == {"iris/1": "ready"}
    (pod,) = release.ready_pods()
    assert "iris/1/manifest.json: " in release.logs(pod, "--container", "fetch-models")


def test_keys_are_asked_for_and_tls_is_spoken_to_probes_too(release: Release, tmp_path: Path) -> None:
    namespace = release.namespace
    crt, key = self_signed(tmp_path, "DNS:iris")
    namespace.kubectl("create", "secret", "tls", "iris-tls", f"--cert={crt}", f"--key={key}")
    namespace.kubectl("create", "secret", "generic", "clients", "--from-literal=shop=one", "--from-literal=lab=two")
    printed = release.install({"apiKeys": {"existingSecret": "clients"}, "tls": {"existingSecret": "iris-tls"}})
    (fetch_key,) = (line for line in printed.splitlines() if line.startswith("  KEY="))
    assert run("bash", "-c", f'{fetch_key}\necho "$KEY"') in ("one\n", "two\n")
    with release.client(scheme="https", verify=False) as client:
        assert client.post("/predict", json=ROW).status_code == 401
        assert client.post("/predict", json=ROW, headers={"X-API-Key": "one"}).status_code == 200
        assert client.post("/predict", json=ROW, headers={"Authorization": "Bearer two"}).status_code == 200
        assert client.get("/ready").status_code == 200
        assert client.get("/metrics").status_code == 200
    assert "Succeeded" in release.test()
