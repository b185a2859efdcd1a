"""aiohttp: its own server and event loop, under Gunicorn by its own worker class."""

from aiohttp import web

from bench.apps.inference import predict_many, predict_one


async def predict(request: web.Request) -> web.Response:
    return web.json_response(predict_one((await request.json())["features"]))


async def predict_rows(request: web.Request) -> web.Response:
    return web.json_response(predict_many((await request.json())["instances"]))


async def health(_: web.Request) -> web.Response:
    return web.json_response({"status": "healthy"})


app = web.Application()
app.add_routes([web.post("/predict", predict), web.post("/predict-many", predict_rows), web.get("/health", health)])
