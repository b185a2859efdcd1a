"""GET /docs: Swagger UI on a page of our own, which asks no other server and passes a strict content security policy.

Its files are those of the package fastapi-offline.
"""

from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

# Swagger UI styles elements by script, and its stylesheet has images in it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'"
)

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
<script src="{prefix}/docs/start.js" data-url="{prefix}{openapi}"></script>
</body>
</html>
"""
START = """"use strict";
SwaggerUIBundle({ url: document.currentScript.dataset.url, dom_id: "#swagger-ui", deepLinking: true });
"""


def docs_routes(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    app.mount("/docs/assets", StaticFiles(directory=str(files("fastapi_offline") / "static")))

    @router.get("/docs")
    async def docs(request: Request) -> HTMLResponse:
        prefix = request.scope.get("root_path", "").rstrip("/")
        page = PAGE.format(title=app.title, prefix=prefix, openapi=app.openapi_url)
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})

    @router.get("/docs/start.js")
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    return router
