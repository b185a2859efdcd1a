"""A PostgreSQL in a namespace of its own, on a volume that outlives its pod, with a role that owns the tables and
one that serves.
"""

import os
import secrets
from contextlib import suppress
from copy import deepcopy

from tests.cluster.kubernetes import CommandFailed, Namespace, Object, one_node, wait_for

IMAGE = os.environ.get("POSTGRESQL_IMAGE", "slipway-postgresql:test")
NAME = "database"
SECRET = "predictions"
# Statements end with a semicolon and an empty line: PostgreSQL's single-user mode. What the owner makes, the other may
# read and add to.
SETUP = """\
CREATE ROLE owner LOGIN PASSWORD '{owner}';

CREATE ROLE serving LOGIN PASSWORD '{serving}';

ALTER DATABASE postgres OWNER TO owner;

GRANT CREATE ON SCHEMA public TO owner;

ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT, INSERT ON TABLES TO serving;

"""


class Database:
    """Not started yet; it goes with its namespace, which lets an init container be root: the volume is nobody's
    else.
    """

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace

    def start(self, *users: Namespace) -> None:
        """The namespaces of its users get the Secret with its addresses, before any release is there."""
        passwords = {role: secrets.token_hex(16) for role in ("owner", "serving")}
        self.namespace.kubectl(
            "create", "secret", "generic", NAME, f"--from-literal=setup.sql={SETUP.format(**passwords)}"
        )
        server = deepcopy(SERVER)
        server["spec"]["template"]["spec"]["nodeSelector"] = one_node()
        self.namespace.apply(SERVICE, CLAIM, server)
        self.wait_until_ready()
        for user in users:
            literals = [f"--from-literal={role}={self.address(role, password)}" for role, password in passwords.items()]
            user.kubectl("create", "secret", "generic", SECRET, *literals)

    def address(self, role: str, password: str) -> str:
        return f"postgresql://{role}:{password}@{NAME}.{self.namespace.name}:5432/postgres"

    def wait_until_ready(self) -> None:
        self.namespace.kubectl("wait", "--for=create", f"pod/{NAME}-0", "--timeout=60s")
        self.namespace.kubectl("wait", "--for=condition=Ready", f"pod/{NAME}-0", "--timeout=60s")

    def stop(self) -> None:
        """Until it is started again by `restart`; clients of it meet a Service without a pod."""
        self.namespace.kubectl("scale", "statefulset", NAME, "--replicas=0")
        self.namespace.kubectl("wait", "--for=delete", "pod", "--selector", f"app={NAME}", "--timeout=60s")

    def restart(self) -> None:
        self.namespace.kubectl("scale", "statefulset", NAME, "--replicas=1")
        self.wait_until_ready()

    def kill(self) -> None:
        """Its pod, without a checkpoint: SIGTERM would wait for its clients, so a second later it is SIGKILL.
        Another takes its place.
        """
        self.namespace.kubectl("delete", "pod", f"{NAME}-0", "--grace-period=1")
        self.wait_until_ready()

    def query(self, statement: str) -> list[str]:
        """Lines of the answer, columns separated by a bar."""
        command = [
            "psql",
            "--host=/tmp",
            "--username=postgres",
            "--no-align",
            "--tuples-only",
            f"--command={statement}",
        ]
        return self.namespace.kubectl("exec", f"statefulset/{NAME}", "--", *command).splitlines()

    def stored(self) -> list[str]:
        return self.query("SELECT key FROM predictions")

    def wait_for_keys(self, expected: set[str], timeout: float = 60) -> None:
        """Until every one of these is stored."""
        left = set(expected)

        def all_stored() -> bool:
            with suppress(CommandFailed):  # it is still starting
                left.difference_update(self.stored())
            return not left

        with suppress(TimeoutError):
            wait_for(all_stored, f"{len(expected)} rows", timeout=timeout, interval=1)
        assert not left, f"{len(left)} of {len(expected)} rows are missing, such as {min(left)}"


SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": NAME},
    "spec": {"selector": {"app": NAME}, "ports": [{"port": 5432}]},
}
CLAIM: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": NAME},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
# A StatefulSet replaces a pod when it is gone; a Deployment does it before, and two servers would write the same files.
SERVER: Object = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": NAME},
    "spec": {
        "serviceName": NAME,
        "selector": {"matchLabels": {"app": NAME}},
        "template": {
            "metadata": {"labels": {"app": NAME}},
            "spec": {
                "automountServiceAccountToken": False,
                "initContainers": [
                    {
                        "name": "own",
                        "image": IMAGE,
                        "command": ["chown", "70:70", "/data"],
                        "securityContext": {"runAsUser": 0},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
                "securityContext": {"fsGroup": 70},
                "containers": [
                    {
                        "name": "postgresql",
                        "image": IMAGE,
                        "env": [{"name": "PGDATA", "value": "/data/postgresql"}],
                        "ports": [{"containerPort": 5432}],
                        "readinessProbe": {"exec": {"command": ["pg_isready", "--host=/tmp"]}, "periodSeconds": 1},
                        "volumeMounts": [
                            {"name": "data", "mountPath": "/data"},
                            {"name": "setup", "mountPath": "/etc/database", "readOnly": True},
                            {"name": "tmp", "mountPath": "/tmp"},
                        ],
                    }
                ],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": NAME}},
                    {"name": "setup", "secret": {"secretName": NAME, "defaultMode": 0o440}},
                    {"name": "tmp", "emptyDir": {}},
                ],
            },
        },
    },
}
