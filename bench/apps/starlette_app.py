"""Starlette: FastAPI without validation and documentation."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.apps.inference import predict_many, predict_one


async def predict(request: Request) -> JSONResponse:
    return JSONResponse(predict_one((await request.json())["features"]))


async def predict_rows(request: Request) -> JSONResponse:
    return JSONResponse(predict_many((await request.json())["instances"]))


async def health(_: Request) -> JSONResponse:
    return JSONResponse({"status": "healthy"})


app = Starlette(
    routes=[
        Route("/predict", predict, methods=["POST"]),
        Route("/predict-many", predict_rows, methods=["POST"]),
        Route("/health", health),
    ]
)
