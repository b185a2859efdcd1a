"""`slipway push`: model directories as an OCI image of one layer, /models/NAME/VERSION, as image volumes and KServe's
ModelCar mount it.
"""

import gzip
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import ArtifactError
from ..model.manifest import read_manifest
from .address import parse
from .https import request
from .oci import MANIFEST_TYPES, Repository, sha256, upload
from .remote import Changed, Interrupted, Unreachable

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def push(directories: Sequence[Path], address: str) -> str:
    """The digest of the image, which is the same for the same files. Raises ArtifactError."""
    parsed = parse(address)
    if parsed.scheme != "oci":
        raise ArtifactError(f"{parsed.shown} is no registry: slipway push writes to oci://REGISTRY/NAME:TAG")
    repository = Repository(parsed.url)
    if repository.digest is not None:
        raise ArtifactError(f"{parsed.shown} names a digest, which only what is pushed has: name a tag")
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _push(repository, directories, Path(folder))
    except (Interrupted, Changed) as error:
        raise Unreachable(f"{parsed.shown} cannot be reached: {error}") from None
    except OSError as error:
        raise ArtifactError(f"{error.filename or 'The layer'} cannot be read or written: {error.strerror}") from None


def _push(repository: Repository, directories: Sequence[Path], folder: Path) -> str:
    layer = folder / "layer.tar.gz"
    unpacked = _pack(directories, layer)
    with layer.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [unpacked]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    config_digest = sha256((folder / "config.json").read_bytes())
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPES[0],
        "config": {
            "mediaType": _CONFIG,
            "digest": config_digest,
            "size": (folder / "config.json").stat().st_size,
        },
        "layers": [{"mediaType": _LAYER, "digest": digest, "size": layer.stat().st_size}],
    }
    repository.enter("pull,push")
    upload(repository, layer, digest)
    upload(repository, folder / "config.json", config_digest)
    body = json.dumps(manifest).encode()
    headers = repository.headers({"Content-Type": MANIFEST_TYPES[0]})
    with request(repository.url(f"manifests/{repository.reference}"), headers, method="PUT", body=body):
        return sha256(body)


def _pack(directories: Sequence[Path], layer: Path) -> str:
    """Writes the layer, without times and owners, and returns the digest of what it unpacks to."""
    with tempfile.TemporaryFile() as tar:
        with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for directory in directories:
                manifest = read_manifest(directory)
                if manifest is None:
                    raise ArtifactError(f"{directory} has no manifest.json, which vouches for what is pushed: pack it")
                base = f"models/{manifest.name}/{manifest.version}"
                for path in sorted(path for path in directory.iterdir() if path.is_file() and path.name[0] != "."):
                    with path.open("rb") as file:
                        member = tarfile.TarInfo(f"{base}/{path.name}")
                        member.size, member.mode = path.stat().st_size, 0o644
                        archive.addfile(member, file)
        tar.seek(0)
        unpacked = hashlib.file_digest(tar, "sha256").hexdigest()
        tar.seek(0)
        with (
            layer.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0, filename="") as out,
        ):
            while chunk := tar.read(1 << 20):
                out.write(chunk)
    return f"sha256:{unpacked}"
