"""Every setting once: its environment name (SLIPWAY_ and the field's name), default and one sentence of help."""

import os
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Code of a model may change the folder that the process works in.
AbsolutePath = Annotated[Path, AfterValidator(Path.absolute)]
Execution = Literal["auto", "inline", "thread", "process"]
Trust = Literal["any", "manifest", "signed", "safe"]
DriftSeries = Literal["together", "apart", "off"]
Durability = Literal["off", "async", "spooled", "sync"]

EMBEDDED_DATABASE = "sqlite:///slipway.db"

# What Kubernetes sets of a Service called slipway, or slipway-x, in every pod of its namespace.
_SERVICE_LINK = re.compile(
    r"SLIPWAY(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
ADDRESS_OF_MODELS = re.compile(r"(s3|gs|az|https?|oci|models):")
ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+")


def bytes_of(value: object) -> object:
    """512Mi, 1.5GB or a number: as bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?\s*", value) if isinstance(value, str) else None
    if found is None:
        return value
    return int(float(found[1]) * (1024 if found[3] else 1000) ** (" KMGT".index(found[2])))


class Settings(BaseSettings):
    """The configuration of one server, read from SLIPWAY_ variables; flags of `slipway serve` override them."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", frozen=True, extra="forbid")

    models: AbsolutePath = Field(
        Path("models"),
        description="Folder of models: NAME/VERSION/model.joblib, or a bare model.joblib; or an address.",
    )
    source: str | None = Field(
        None,
        description="Address that the models are fetched from before they are served, and again every "
        "SLIPWAY_RELOAD_INTERVAL: s3://…, gs://…, az://…, https://…, oci://…, models:/NAME@ALIAS; unset: none.",
    )
    fetch_cache: AbsolutePath = Field(Path("slipway-cache"), description="Folder where what is fetched is kept.")
    fetch_cache_bytes: int = Field(
        10 * 1024 * 1024 * 1024,
        ge=1024 * 1024,
        description="Most bytes in that folder; what was not used for the longest time goes first.",
    )
    fetch_headers: AbsolutePath | None = Field(
        None, description="Folder with a file per header that https: sources are sent; its name is the header's."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; in a container 0.0.0.0, or :: for IPv6 and IPv4.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port to listen on.")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="TCP port of its own for /metrics and /metrics/drift, which then are on no other; unset: all is on "
        "one port. /health and /ready are on both, and HTTPS is spoken on both or none.",
    )
    workers: int | None = Field(
        None, ge=1, le=256, description="Worker processes; unset: one per CPU of the container's limit."
    )
    execution: Execution = Field(
        "auto",
        description="Where inference runs, unless a model says otherwise: auto (measured at warm-up), inline, thread "
        "or process.",
    )
    threads: int = Field(4, ge=1, le=256, description="Threads per worker for models that run in threads.")
    processes: int = Field(1, ge=1, le=256, description="Child processes per worker for models that run in processes.")
    batching: bool = Field(
        True,
        description="Join calls that arrive while their dear model is busy, unless a model says otherwise; false: each "
        "runs alone.",
    )
    max_in_flight: int = Field(
        128, ge=1, description="Predictions per worker that may wait or run at once; beyond it the answer is 503."
    )
    request_timeout: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds until a request is answered 504; the header X-Request-Timeout may lower it.",
    )
    load_timeout: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds that a model may take to load on its first request, in a child process or at a reload; "
        "beyond it is given up.",
    )
    memory_budget: Annotated[int | None, BeforeValidator(bytes_of)] = Field(
        None,
        ge=1,
        description="Bytes, such as 512Mi, for lazily loaded models in all workers together, each of which has its "
        "share: the one that was asked longest ago goes first. Unset: a quarter of what the container's memory limit "
        "leaves beside the other models; without a limit, none goes.",
    )
    reload_interval: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="Seconds between two looks for models whose files have changed, which are then loaded and served "
        "without a restart; 0: they are loaded at SIGHUP alone.",
    )
    max_body_bytes: int = Field(
        8 * 1024 * 1024, ge=1, description="Largest request body in bytes; beyond it the answer is 413."
    )
    max_rows: int = Field(10_000, ge=1, description="Most rows in one request; beyond it the answer is 413.")
    cache_size: int = Field(1000, ge=1, description="Rows that each worker's prediction cache holds.")
    compiled: bool = Field(
        True, description="Use the compiled forms of models that were packed with one; false: their estimators answer."
    )
    allow_version_mismatch: bool = Field(
        False, description="Load models that were packed with another scikit-learn version, with a warning."
    )
    trust: Trust = Field(
        "any",
        description="Which models may be loaded: any; manifest (what no manifest vouches for is refused before it is "
        "read); signed (so is what SLIPWAY_TRUST_KEY has not signed); or safe (as manifest, and no pickle is opened: "
        "skops, ONNX and compiled forms alone).",
    )
    trust_key: AbsolutePath | None = Field(
        None,
        description="PEM file of the public key, or of the certificates, that signatures of models must verify with; "
        "where it is set, safe asks for signatures, too.",
    )
    trusted_types: list[str] = Field(
        [],
        description='Types that files of skops may name beyond those of scikit-learn, as JSON: ["churn.Encoder"].',
    )
    techniques: bool = Field(
        True,
        description="Serve the tutorial's side-by-side techniques: /predict-iris, -safe, -slow, -threaded, -cached and "
        "-with-logging.",
    )
    root_path: str = Field(
        "",
        pattern=r"^(/[^/?#]+)*$",
        description="Path prefix that an Ingress strips before it forwards, such as /iris.",
    )
    cors_origins: list[str] = Field(
        [], description='Origins that browsers may call from, as JSON: ["https://example.org"]; empty: CORS off.'
    )
    api_keys: AbsolutePath | None = Field(
        None,
        description="Folder with a file per client: its name is the client's id, its content the key; unset: no key is "
        "asked for.",
    )
    tls_certificate: AbsolutePath | None = Field(
        None, description="PEM file of the server's certificate chain; with it the port speaks HTTPS only."
    )
    tls_key: AbsolutePath | None = Field(None, description="PEM file of the certificate's private key.")
    keep_alive: int = Field(
        75, ge=1, description="Seconds an idle connection is kept; above the load balancer's idle time."
    )
    drain_timeout: float = Field(
        30.0,
        ge=5,
        le=3600,
        description="Seconds after which `slipway drain` returns even if clients are still connected.",
    )
    runtime_dir: AbsolutePath | None = Field(
        None, description="Folder in memory for metrics and worker state; unset: /dev/shm/slipway-UID-PORT."
    )
    metrics_models: int = Field(
        100,
        ge=1,
        description="Versions of models whose requests have series of their own, 16 each; those beyond it share "
        'those of model="other".',
    )
    drift: DriftSeries = Field(
        "together",
        description="Drift's series: together (in /metrics, too), apart (in /metrics/drift alone, to be scraped less "
        "often) or off (drift is not counted).",
    )
    drift_series: int = Field(
        1000,
        ge=1,
        description="Most bins that drift is counted in for one version of a model; columns beyond are not counted.",
    )
    access_log: bool = Field(
        True, description="Write a line per request; probes and scrapes have theirs at level debug."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json: a JSON object per line; console: for people; auto: console on a terminal, else json."
    )
    log: Durability = Field(
        "off",
        description="Prediction log: async (in the background), spooled (on disk before the answer), sync (committed "
        "before it) or off.",
    )
    log_database: SecretStr = Field(
        SecretStr(EMBEDDED_DATABASE),
        description="Where it is kept: sqlite:///PATH, or postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        json_schema_extra={"default": EMBEDDED_DATABASE},
    )
    log_database_bytes: int = Field(
        1024 * 1024 * 1024,
        ge=1024 * 1024,
        description="Most bytes of an SQLite file; near it the oldest whole days are deleted, and past it records are "
        "dropped.",
    )
    log_spool: AbsolutePath = Field(
        Path("slipway-spool"),
        description="Folder of this server alone, where records wait for a database that is away.",
    )
    log_spool_bytes: int = Field(
        256 * 1024 * 1024, ge=0, description="Most bytes in that folder, of all workers together."
    )
    log_overflow: Literal["drop", "refuse"] = Field(
        "drop",
        description="Past that bound: drop (answer, and count what is not logged) or refuse (503 instead of an "
        "answer).",
    )
    log_rate: float = Field(
        1.0, ge=0, le=1, description="Share of requests that are logged, unless a model says otherwise."
    )
    log_omit: list[str] = Field(
        [], description='Columns that are not logged, of all models or of one, as JSON: ["name", "churn.age"].'
    )
    log_hash: list[str] = Field([], description="Columns of which only a keyed hash is logged, named in the same way.")
    log_hash_key: SecretStr | None = Field(
        None, description="Key of those hashes, at least 16 characters; who has it can try values out."
    )
    log_record_bytes: int = Field(
        64 * 1024,
        ge=256,
        description="Most bytes of features and answer in a record; longer ones are replaced by a note.",
    )

    csv_defuse: bool = Field(
        True,
        description="In CSV files of `slipway log export` and `slipway predict`, put an apostrophe before text that a "
        "spreadsheet would take for a formula.",
    )
    log_retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Whole days that `slipway log maintain` leaves in the log, besides today; unset: it deletes "
        "nothing.",
    )

    @model_validator(mode="before")
    @classmethod
    def _models_may_be_an_address(cls, values: Any) -> Any:
        if isinstance(values, dict) and ADDRESS_OF_MODELS.match(str(values.get("models", ""))):
            return {name: value for name, value in values.items() if name != "models"} | {"source": values["models"]}
        return values

    @field_validator("log_database")
    @classmethod
    def _is_a_known_database(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(
            ("sqlite:///", "sqlite+aiosqlite:///", "postgresql://", "postgresql+asyncpg://")
        ):
            raise ValueError("must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        scheme, _, path = url.get_secret_value().partition(":///")
        relative = scheme.startswith("sqlite") and path not in ("", ":memory:")
        return SecretStr(f"{scheme}:///{Path(path).absolute()}") if relative else url

    @field_validator("log_hash_key")
    @classmethod
    def _is_long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return key

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port == self.port:
            raise ValueError("SLIPWAY_METRICS_PORT must be another port than SLIPWAY_PORT")
        return self

    @model_validator(mode="after")
    def _hashes_have_a_key(self) -> Self:
        if self.log_hash and self.log_hash_key is None:
            raise ValueError(
                "SLIPWAY_LOG_HASH needs SLIPWAY_LOG_HASH_KEY: without a key, hashes of few values are guessed at once"
            )
        return self


def flag_of(setting: str) -> str:
    return "--" + setting.replace("_", "-")


def variable_of(setting: str) -> str:
    return f"{Settings.model_config['env_prefix']}{setting.upper()}"


def spoken(message: str, typed: Collection[str], variables: Collection[str] = tuple(Settings.model_fields)) -> str:
    """The message with each SLIPWAY_ variable as the user knows it: the flag where it was typed, both where it is
    not in `variables`.
    """

    def named(found: re.Match[str]) -> str:
        setting = found[1].lower()
        if setting in typed:
            return flag_of(setting)
        return (
            found[0]
            if setting in variables or setting not in Settings.model_fields
            else (f"{flag_of(setting)} ({found[0]})")
        )

    return re.sub(r"\bSLIPWAY_([A-Z_]+)\b(?:=true)?", named, message)


def misspelt_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that looks like a setting and is none. What Kubernetes sets of a Service called
    slipway is none.
    """
    prefix, known = str(Settings.model_config["env_prefix"]), [name.upper() for name in Settings.model_fields]
    found = []
    for variable, value in sorted((os.environ if environment is None else environment).items()):
        name = variable.upper()
        is_link = _SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and ADDRESS.fullmatch(value))
        if not name.startswith(prefix) or name.removeprefix(prefix) in known or is_link:
            continue
        near = get_close_matches(name.removeprefix(prefix), known, 1)
        way = f"did you mean {prefix}{near[0]}?" if near else "`slipway serve --help` lists those that there are"
        found.append(f"{variable} is no setting and has no effect: {way}")
    return found
