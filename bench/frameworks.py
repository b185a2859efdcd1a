"""What no harness measures about the frameworks: judgements, kept beside the figures that the table shows with them."""

from typing import NamedTuple

from .contenders import TUTORIAL


class Framework(NamedTuple):
    name: str
    contender: str
    ease: str
    asynchronous: str
    types: str
    docs: str
    best_for: str


FRAMEWORKS = (
    Framework(
        "FastAPI",
        TUTORIAL,
        "a route is a typed function; validation and errors come with it",
        "native (ASGI); `def` routes run in threads",
        "Pydantic models checked at run time, mypy in the editor",
        "OpenAPI and Swagger UI from the types",
        "JSON APIs, models among them",
    ),
    Framework(
        "Flask",
        "Flask",
        "the least to learn; validation is yours to write",
        "`async` views run one at a time in a thread (WSGI)",
        "none at run time",
        "none built in",
        "small tools and pages, internal services with little load",
    ),
    Framework(
        "Django",
        "Django",
        "much to learn, and much comes with it: ORM, admin, users, migrations",
        "async views under ASGI, parts of the ORM",
        "forms and models; JSON bodies with another package",
        "none built in for APIs",
        "applications around a database, where prediction is one feature",
    ),
    Framework(
        "Starlette",
        "Starlette",
        "little to learn; validation is yours to write",
        "native (ASGI)",
        "typed itself, bodies are not checked",
        "a schema generator that you fill by hand",
        "thin services and middleware, and what FastAPI is made of",
    ),
    Framework(
        "aiohttp",
        "aiohttp",
        "low-level and explicit; validation is yours to write",
        "native, with its own server",
        "typed itself, bodies are not checked",
        "none built in",
        "services that are clients of others as well, WebSockets",
    ),
)
