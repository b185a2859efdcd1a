"""The development server: one process that starts anew when code or models change."""

import json
import os
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr
from uvicorn.supervisors import ChangeReload

from ..settings import Settings
from ..telemetry import logs


def serve_for_development(settings: Settings) -> None:
    """Returns after SIGTERM or Ctrl-C."""
    # Uvicorn starts a new process after each change, and that one reads the settings anew.
    prefix = Settings.model_config["env_prefix"]
    for name, value in settings.model_dump(exclude_unset=True).items():
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        os.environ[f"{prefix}{name.upper()}"] = str(value) if isinstance(value, str | Path) else json.dumps(value)
    config = uvicorn.Config(
        "slipway.server.development:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        reload=True,
        reload_dirs=[str(Path(__file__).parent), str(settings.models)],
        reload_delay=0.05,  # seconds after the start of the server that nobody watches the folders yet
        log_config=None,
        access_log=False,
    )
    # Folders count too: a packed model arrives by a rename, and what is inside a new one may go unseen. Set here, for
    # among its arguments Uvicorn would take "*" for all that lies in the working directory, and watch that as well.
    config.reload_includes = ["*"]
    config.reload_excludes = ["__pycache__", "*.pyc*"]
    ChangeReload(config, target=uvicorn.Server(config).run, sockets=[config.bind_socket()]).run()


def application() -> Any:
    """What Uvicorn's reloader serves."""
    from ..app import create_app

    settings = Settings()
    logs.configure(settings)
    return create_app(settings.model_copy(update={"metrics_port": None}))  # there is one port
