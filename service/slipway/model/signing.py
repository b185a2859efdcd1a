"""OpenSSF signatures of model directories: made with a key or a certificate, verified offline before anything is read.

The signature, a Sigstore bundle, lies beside the manifest and holds the digests of all files.
"""

import base64
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, BrokenArtifact
from ..system.files import read_file
from .contained import described, harmless
from .manifest import MANIFEST

SIGNATURE = "model.sig"
_MOST_BYTES = 4 * 1024 * 1024
_INSTALL = "pip install 'slipway-serve[signing]'"


def sign(directory: Path, key: Path, certificate: Path | None = None, chain: Sequence[Path] = ()) -> Path:
    """Writes model.sig. `key`: PEM of an elliptic curve's private key; `chain`: the certificates above `certificate`.
    Raises ArtifactError.
    """
    if not (directory / MANIFEST).is_file():
        raise ArtifactError(f"{directory} has no {MANIFEST}, which a signature vouches for: pack the model first")
    try:
        # Not at the top: it brings cryptography along, and most commands and servers do not sign.
        from model_signing import signing
    except ModuleNotFoundError as error:
        raise ArtifactError(f"Signing needs the Python module {error.name!r}: {_INSTALL}") from None
    signer = signing.Config().set_hashing_config(_hashing())
    target = directory / SIGNATURE
    partial = directory / f".{SIGNATURE}"
    try:
        if certificate is None:
            signer.use_elliptic_key_signer(private_key=key)
        else:
            signer.use_certificate_signer(private_key=key, signing_certificate=certificate, certificate_chain=chain)
        signer.sign(directory, partial)
        partial.replace(target)
    except OSError as error:
        raise ArtifactError(f"{error.filename or target} cannot be read or written: {error.strerror}") from None
    except Exception as error:  # of cryptography: any, for keys of other kinds
        raise ArtifactError(
            f"{key} cannot sign: {described(error)}. It must be the private key, in PEM and without a password, of an "
            "elliptic curve: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return target


def verified_manifest(directory: Path, key: Path | None) -> str:
    """The digest of the manifest that the signature vouches for, once all signed files are as they were. Raises
    BrokenArtifact: not signed, by another key, or changed since.
    """
    if key is None:
        raise BrokenArtifact(
            "SLIPWAY_TRUST=signed needs SLIPWAY_TRUST_KEY, the public key or the certificates to verify signatures with"
        )
    try:
        # Not at the top: it brings cryptography along, and most servers do not verify.
        from model_signing import verifying
    except ModuleNotFoundError as error:
        raise BrokenArtifact(f"SLIPWAY_TRUST=signed needs the Python module {error.name!r}: {_INSTALL}") from None
    try:
        content = read_file(directory / SIGNATURE, _MOST_BYTES)
    except FileNotFoundError:
        raise BrokenArtifact(f"{directory} is not signed: it has no {SIGNATURE}: sign it with `slipway sign`") from None
    except OSError as error:
        raise BrokenArtifact(f"{directory / SIGNATURE} cannot be read: {error.strerror or error}") from None
    try:
        is_certificate = b"BEGIN CERTIFICATE" in read_file(key, _MOST_BYTES)
    except OSError as error:
        raise BrokenArtifact(f"SLIPWAY_TRUST_KEY: {key} cannot be read: {error.strerror or error}") from None
    # What is signed beside the files that are opened is verified, too; what is not signed is not opened.
    verifier = verifying.Config().set_hashing_config(_hashing()).set_ignore_unsigned_files(True)
    try:
        if is_certificate:
            verifier.use_certificate_verifier(certificate_chain=[key])
        else:
            verifier.use_elliptic_key_verifier(public_key=key)
        with tempfile.NamedTemporaryFile(suffix=SIGNATURE) as copy:  # the very bytes that are read below
            copy.write(content)
            copy.flush()
            verifier.verify(directory, Path(copy.name))
        return _signed_digest(content)
    except Exception as error:  # of cryptography: any, for what was made to harm
        raise BrokenArtifact(
            f"{directory}: its signature does not verify with {key}: {described(error)}. Restore the files, or sign "
            "them again if they were meant to change"
        ) from None


def _signed_digest(content: bytes) -> str:
    """Of the manifest, in a bundle that has been verified."""
    payload = json.loads(base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"]))
    for file in payload["predicate"]["resources"]:
        if file["name"] == MANIFEST and file["algorithm"] == "sha256":
            return f"sha256:{harmless(file['digest'])}"
    raise ValueError(f"{MANIFEST} is not among the signed files")


def _hashing() -> Any:
    from model_signing import hashing

    # A ConfigMap's files are links.
    config = hashing.Config().use_file_serialization(hashing_algorithm="sha256", allow_symlinks=True)
    return config.set_allow_symlinks(True).set_ignored_paths(paths=[SIGNATURE, f".{SIGNATURE}"])
