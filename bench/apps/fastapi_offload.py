"""The tutorial's prediction kept off FastAPI's event loop: a `def` route, a thread pool, a process pool."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from bench.apps.inference import predict_one

THREADS = 4  # as many as Slipway's own pool has
PROCESSES = 1  # per worker, as Slipway's own

app = FastAPI()


class Features(BaseModel):
    features: list[float]


@cache
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS)


@cache
def processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"))


@app.post("/predict-def")
def predict_in_def(body: Features) -> dict[str, Any]:
    """FastAPI runs it in its own pool of 40 threads."""
    return predict_one(body.features)


@app.post("/predict-thread")
async def predict_in_thread(body: Features) -> dict[str, Any]:
    return await asyncio.get_running_loop().run_in_executor(threads(), predict_one, body.features)


@app.post("/predict-process")
async def predict_in_process(body: Features) -> dict[str, Any]:
    return await asyncio.get_running_loop().run_in_executor(processes(), predict_one, body.features)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}
