"""GET /models and /models/{name}: what is served, in which state, and what vouches for it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from ..model.compiled.model import Form
from ..model.signature import Signature
from ..prediction.entry import Entry
from ..prediction.predictor import Predictor
from .auth import Guard


class ModelVersion(BaseModel):
    version: str
    default: Annotated[bool, Field(description="Answers when no version is named.")]
    state: Annotated[str, Field(description="unloaded (lazy: not in this worker's memory), loading, ready or failed.")]
    error: Annotated[str | None, Field(description="Why it failed, and what to do.")]
    refused: Annotated[
        str | None,
        Field(
            description="Why newer files of this version were not taken; with state ready, what was there serves on."
        ),
    ]
    vouched_for: Annotated[
        bool, Field(description="A manifest states its digest, versions and expected answers, and they hold.")
    ]
    notes: list[str]
    estimator: str | None
    compiled: Annotated[
        Form | None, Field(description="The form that answers in the estimator's place; null: the estimator does.")
    ]
    digest: str | None
    execution: Annotated[
        str | None, Field(description="Where it runs: inline, thread or process, as measured or pinned.")
    ]
    row_ms: Annotated[float | None, Field(description="Time of one row at warm-up, in milliseconds.")]
    lazy: bool
    optional: bool
    signature: Signature | None


class ModelVersions(BaseModel):
    name: str
    default: Annotated[bool, Field(description="Answers when no model is named.")]
    versions: list[ModelVersion]


class Catalogue(BaseModel):
    models: list[ModelVersions]


def catalogue_routes(predictor: Predictor, guard: Guard | None) -> APIRouter:
    router = APIRouter(tags=["models"], dependencies=[Depends(guard.request)] if guard else None)
    repository = predictor.repository

    def describe(name: str) -> dict[str, Any]:
        default = repository.default_version(name)
        versions = [describe_version(entry, entry.version == default) for entry in repository.versions(name).values()]
        return {"name": name, "default": name == repository.default_name, "versions": versions}

    def describe_version(entry: Entry, default: bool) -> dict[str, Any]:
        model = entry.model
        placement = predictor.engine.placement(model) if model else None
        artifact = model.artifact if model else None
        return {
            "version": entry.version,
            "default": default,
            "state": entry.state,
            "error": entry.error,
            "refused": entry.refused,
            "vouched_for": artifact is not None and artifact.manifest is not None,
            "notes": artifact.notes if artifact else [],
            "estimator": artifact.estimator_name if artifact else None,
            "compiled": artifact.form if artifact else None,
            "digest": artifact.digest if artifact else None,
            "execution": placement.mode if placement else None,
            "row_ms": round(placement.row_seconds * 1000, 4) if placement and placement.row_seconds else None,
            "lazy": entry.serving.lazy,
            "optional": entry.serving.optional,
            "signature": artifact.signature.model_dump(mode="json", exclude_none=True) if artifact else None,
        }

    @router.get("/models", response_model=Catalogue, summary="All models")
    async def models() -> Response:
        return JSONResponse({"models": [describe(name) for name in repository.names()]})

    @router.get("/models/{name}", response_model=ModelVersions, summary="One model's versions")
    async def model(name: str) -> Response:
        return JSONResponse(describe(name))

    return router
