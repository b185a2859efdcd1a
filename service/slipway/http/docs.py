"""GET /docs: Swagger UI on a page of our own, which asks no other server and passes a strict content security policy.

Its files are those of the package fastapi-offline.
"""

from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse

# Swagger UI styles elements by script, and its stylesheet has images in it.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'"
ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – API</title>
<link rel="stylesheet" href="{prefix}/docs/assets/swagger-ui.css">
<link rel="icon" href="{prefix}/docs/assets/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{prefix}/docs/assets/swagger-ui-bundle.js"></script>
<script src="{prefix}/docs/assets/start.js" data-url="{prefix}{openapi}"></script>
</body>
</html>
"""
START = """"use strict";
SwaggerUIBundle({ url: document.currentScript.dataset.url, dom_id: "#swagger-ui", deepLinking: true });
"""


def docs_routes(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    folder = files("fastapi_offline") / "static"

    @router.get("/docs")
    async def docs(request: Request) -> HTMLResponse:
        prefix = request.scope.get("root_path", "").rstrip("/")
        page = PAGE.format(title=app.title, prefix=prefix, openapi=app.openapi_url)
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})

    @router.get("/docs/assets/start.js")
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    @router.get("/docs/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404)
        return FileResponse(str(folder / name))

    return router
