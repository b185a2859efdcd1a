"""Which models are served: name@version → a loaded model. Each is loaded once, at the start or on its first request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType

from ..engine.call import Call
from ..engine.child import ModelSource
from ..engine.loaded_model import LoadedModel
from ..engine.marks import Marks
from ..engine.pools import NotReturned, in_thread_of_its_own
from ..errors import (
    ArtifactError,
    DeadlineExceeded,
    DoesNotFit,
    ModelFailed,
    ModelLoading,
    UnknownModel,
    UnknownVersion,
)
from ..model.artifact import Artifact, load, path_of, size, unpacked_size
from ..model.contained import harmless
from ..model.distribution import Distribution
from ..model.manifest import Serving, read_manifest
from ..model.rows import RowValidator
from ..model.verify import Trusted
from ..settings import Settings
from ..sources.changes import stamp
from ..sources.folder import OVERRIDES_FILE, Overrides, read_overrides, served_in, version_key
from ..system.board import Board, Lifecycle
from ..system.memory import megabytes, memory, require_room
from ..telemetry.metrics import Metrics
from .entry import Entry, State
from .loading import Loading
from .residence import Residence

log = logging.getLogger("slipway.models")

_MOST_ASKED = 100  # characters of a name that a client made up; ours have 63 at most
_MOST_CHARACTERS = 1_000  # of why a model is not served: what it says itself, and what to do

WarmUp = Callable[[LoadedModel], Awaitable[str | None]]


class Repository:
    """The models folder, read once. Raises ArtifactError for a folder that cannot be served at all; a bad model only
    fails itself.

    `served`: the one before, of which stays loaded what has not changed. `refused`: which files are not to be read, by
    name and version, and why: what they held before goes on.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        marks: Marks | None = None,
        served: "Repository | None" = None,
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self.marks = marks or Marks(Lifecycle(Board(None, slots=1)))
        self.residence = Residence(metrics)
        self._entries: dict[str, dict[str, Entry]] = {}
        self._default_versions: dict[str, str] = {}
        self._one_load = asyncio.Lock()  # catching warnings is process-wide
        self.overrides = read_overrides(settings.models)
        before = {} if served is None else {entry.label: entry for entry in served}
        self._read_folder(before, refused)
        for name, versions in self._entries.items():
            last = served.default_version(name) if served is not None and name in served.names() else None
            self._default_versions[name] = default = self._default_version(name, versions, last)
            entry = versions[default]
            entry.expected = not entry.serving.lazy and not entry.serving.optional
            if entry.refused is not None and entry.model is None:  # nobody has been served by it
                entry.expected = entry.label in before and before[entry.label].expected
        self.default_name = self._find_default_name()
        self._default = None if self.default_name is None else self.find()

    def _read_folder(self, served: Mapping[str, Entry], refused: Mapping[str, str]) -> None:
        folder = self._settings.models
        for name, version, directory in served_in(folder):
            observe = self._metrics.models.observer(name, version)
            entry = Entry(name, version, directory, self._serving(name, Serving()), observe, stamp(directory))
            entry.refused = refused.get(entry.label)
            before = served.get(entry.label)
            entry.changed = before is None or before.stamp != entry.stamp
            if before is not None and before.model is not None and (entry.refused or not entry.changed):
                self._keep(entry, before, before.model)
            elif entry.refused:
                self._fail(entry, entry.refused)
            else:
                self._read_manifest(entry)
            if entry.distribution is not None:
                self._metrics.drift.expect(name, version, entry.distribution)
            self._entries.setdefault(name, {})[version] = entry
            self._metrics.model_state(name, version, entry.state)
        if unknown := sorted(set(self.overrides) - set(self._entries)):
            raise ArtifactError(f"{folder / OVERRIDES_FILE} names models that are not there: {', '.join(unknown)}")

    def _serving(self, name: str, serving: Serving) -> Serving:
        return self.overrides[name].applied_to(serving) if name in self.overrides else serving

    def _keep(self, entry: Entry, before: Entry, model: LoadedModel) -> None:
        """What was loaded of it; with what models.toml says now."""
        manifest, validator = model.artifact.manifest, model.validator
        if manifest is not None:
            entry.serving = self._serving(entry.name, manifest.serving)
            entry.distribution = self._counted(entry, manifest.distribution)
        entry.example = before.example
        if entry.refused is not None:
            entry.stamp = before.stamp
            log.error("%s serves on as it was, for its new files are refused: %s", entry, entry.refused)
        elif entry.serving.compiled != before.serving.compiled:
            entry.validator = before.validator
            return
        self._set_state(entry, "loading")
        self._take(entry, model.artifact, validator)

    def _read_manifest(self, entry: Entry) -> None:
        """What it tells, before anything is loaded."""
        try:
            manifest = read_manifest(entry.directory)
            if manifest is not None:
                entry.serving = self._serving(entry.name, manifest.serving)
                entry.validator = RowValidator(manifest.signature, self._settings.max_rows)
                entry.example = next((example.features for example in manifest.examples), None)
                entry.distribution = self._counted(entry, manifest.distribution)
        except ArtifactError as exc:
            self._refuse(entry, exc)

    def _counted(self, entry: Entry, whole: Distribution | None) -> Distribution | None:
        """As much of its distribution as drift is counted by."""
        override, most = self.overrides.get(entry.name), self._settings.drift_series
        if whole is None or self._settings.drift == "off" or (override is not None and override.drift is False):
            return None
        counted = whole.within(most)
        columns, all_columns = 0 if counted is None else len(counted.features), len(whole.features)
        if columns < all_columns:
            sentence = "%s: drift of %d of its %d columns is counted: all have more bins than SLIPWAY_DRIFT_SERIES=%d"
            log.warning(sentence, entry, columns, all_columns, most)
        return counted

    def _default_version(self, name: str, versions: dict[str, Entry], last: str | None) -> str:
        """`last`: before the reload."""
        pinned = self.overrides.get(name, Overrides()).version
        if pinned is not None and pinned not in versions:
            raise ArtifactError(
                f"models.toml pins {name} to version {pinned}, but there are only {', '.join(sorted(versions))}"
            )
        taken = [version for version, entry in versions.items() if entry.refused is None or entry.model is not None]
        if pinned in taken:
            return pinned
        if pinned is not None and last in taken:
            return last
        return max(taken or versions, key=version_key)

    def _find_default_name(self) -> str | None:
        marked = [
            name for name, version in self._default_versions.items() if self._entries[name][version].serving.default
        ]
        if len(marked) > 1:
            raise ArtifactError(
                f"More than one model is marked as the default: {', '.join(sorted(marked))}; keep one `default = true` "
                "in models.toml"
            )
        if marked:
            return marked[0]
        return next(iter(self._entries)) if len(self._entries) == 1 else None

    def __iter__(self) -> Iterator[Entry]:
        return (entry for versions in self._entries.values() for entry in versions.values())

    def names(self) -> list[str]:
        return sorted(self._entries)

    def versions(self, name: str) -> dict[str, Entry]:
        """All versions of one model; raises UnknownModel."""
        versions = self._entries.get(name)
        if versions is None:
            raise UnknownModel(f"No model {harmless(name, _MOST_ASKED)!r} is served; GET /models lists those that are")
        return versions

    def default_version(self, name: str) -> str:
        self.versions(name)
        return self._default_versions[name]

    def default(self) -> Entry:
        """What answers where a request names nothing; raises UnknownModel."""
        return self._default or self.find()

    def find(self, name: str | None = None, version: str | None = None) -> Entry:
        """The entry asked for, else the default model or version; raises UnknownModel, UnknownVersion."""
        if name is None:
            name = self.default_name
            if name is None:
                raise UnknownModel(
                    f"Several models are served ({', '.join(sorted(self._entries))}) and none is the default: name one "
                    "with ?model="
                )
        versions = self.versions(name)
        entry = versions.get(version or self._default_versions[name])
        if entry is None:
            asked = harmless(version or "", _MOST_ASKED)
            raise UnknownVersion(
                f"Model {name!r} has no version {asked!r}; there are {', '.join(sorted(versions, key=version_key))}"
            )
        return entry

    def load_eager(self, loading: Loading | None = None, *, ends: type[ArtifactError] | None = None) -> None:
        """Loads all that is not lazy, without a single prediction: before the fork one would hang OpenMP's children.

        An optional model that has ended an earlier start in the middle of its loading is left out. Raises `ends` at
        the first expected model that cannot be loaded for such a fault.
        """
        loading = loading or Loading(None)
        for entry in self:
            self._end_at(entry, ends)
        for entry in self:
            if entry.state != "unloaded" or entry.serving.lazy:
                continue
            model, path = entry.label, path_of(entry.directory)
            if entry.serving.optional and loading.ended(model, path):
                self._fail(
                    entry, "it ended the process or hung when it was last loaded, and is optional: mend or remove it"
                )
                continue
            with loading.of(model, path, self.size(entry)):
                self.load(entry)
            self._end_at(entry, ends)
        limit = memory()
        loaded = sum(self.size(entry) for entry in self if entry.model is not None)
        left = None if limit is None else limit.limit - loaded
        self.residence.share(self._settings.memory_budget, left, self.marks.workers)

    @staticmethod
    def _end_at(entry: Entry, fault: type[ArtifactError] | None) -> None:
        if fault is not None and entry.expected and entry.fault is not None and issubclass(entry.fault, fault):
            raise entry.fault(f"{entry} cannot be served: {entry.error}")

    def load(self, entry: Entry) -> str | None:
        """What keeps it from being loaded, or None."""
        if entry.state != "failed":
            self._set_state(entry, "loading")
            try:
                self._take(entry, *self._read(entry))
            except ArtifactError as exc:
                self._refuse(entry, exc)
        return entry.error

    def _read(self, entry: Entry) -> tuple[Artifact, RowValidator]:
        """Changes nothing: nobody may wait for it any more when it returns. Raises ArtifactError."""
        require_room(self.size(entry))
        artifact = load(
            entry.directory,
            name=entry.name,
            version=entry.version,
            trust=self._settings.trust,
            allow_version_mismatch=self._settings.allow_version_mismatch,
            compiled=self._settings.compiled and entry.serving.compiled,
            trusted=Trusted.by(self._settings),
        )
        for note in artifact.notes:
            log.warning("%s: %s", entry, note)
        if entry.validator is None or artifact.form is not None:  # a bare model, or one that takes the rows as they are
            return artifact, artifact.validator(self._settings.max_rows)
        return artifact, entry.validator

    def size(self, entry: Entry, *, unpacked: bool = False) -> int:
        told = unpacked_size if unpacked else size
        return told(entry.directory, compiled=self._settings.compiled and entry.serving.compiled)

    def _take(self, entry: Entry, artifact: Artifact, validator: RowValidator) -> None:
        entry.validator = validator
        pinned, allow = entry.serving.execution, self._settings.allow_version_mismatch
        trust, trusted = self._settings.trust, Trusted.by(self._settings)
        entry.model = LoadedModel(
            artifact,
            validator,
            self._settings.execution if pinned == "auto" else pinned,
            self._metrics.inference(entry.name, entry.version),
            ModelSource(
                entry.directory, entry.name, entry.version, artifact.digest, allow, artifact.form, trust, trusted
            ),
            self._settings.batching and entry.serving.batching,
            self._settings.log_rate if entry.serving.log_rate is None else entry.serving.log_rate,
            entry.distribution,
        )
        self._metrics.model_loaded(entry.name, entry.version, artifact.load_seconds)

    def _read_in_worker(self, entry: Entry) -> tuple[Artifact, RowValidator]:
        with self.marks.held(entry.label, "load"):
            return self._read(entry)

    async def _load_in_worker(self, entry: Entry) -> None:
        """In a thread, which is given up where it does not return: the others are to be loaded all the same, and the
        worker is replaced.
        """
        async with self._one_load:
            if entry.aside:
                return
            self._set_state(entry, "loading")
            log.info("loading model %s (%s)", entry.label, megabytes(self.size(entry)))
            try:
                size = await in_thread_of_its_own(self._settings.load_timeout, self.size, entry, unpacked=True)
                self.residence.require_fit(size)
                await self.residence.make_room(size)
                read = await self._read_where_there_is_room(entry)
            except ArtifactError as exc:
                self._fail(entry, str(exc))
            except NotReturned:
                how = f"it has not been loaded within {self._settings.load_timeout:.0f} s"
                log.error("model %s (load): %s, and is not waited for", entry.label, how)
                self._fail(entry, how)
                self._metrics.inference_lost(entry.name, entry.version, "hung")
                self.marks.given_up(entry.label, "load")
                self.marks.wear_out()
            else:
                self._take(entry, *read)
                self.residence.took(entry, size)

    async def _read_where_there_is_room(self, entry: Entry) -> tuple[Artifact, RowValidator]:
        """The bound is one thing, the memory that others of the container leave another."""
        while True:
            try:
                return await in_thread_of_its_own(self._settings.load_timeout, self._read_in_worker, entry)
            except DoesNotFit:
                if not self.residence.let_go():
                    raise

    async def warm_up(self, entry: Entry, warm_up: WarmUp) -> None:
        """After the fork: a loaded model that does not answer its own example rows is not served."""
        if entry.model is None or entry.aside:
            return
        error = await warm_up(entry.model)
        if error is None:
            self._set_state(entry, "ready")
        else:
            entry.model = None
            self._fail(entry, error)

    def set_aside(self, models: Mapping[str, str], warm_up: WarmUp) -> None:
        """`models`: name and version of those that are not to be asked, and why. Who is no longer among them is tried
        again.

        On the event loop. Nobody waits for what is tried again: it may hang once more.
        """
        for entry in self:
            why = models.get(entry.label)
            if why is not None and entry.state != "failed":
                entry.aside = True
                self._fail(entry, why)
            elif why is None and entry.aside:
                entry.aside, entry.error = False, None
                self._set_state(entry, "unloaded" if entry.model is None else "loading")
                if entry.model is not None and entry.loading is None:
                    entry.loading = asyncio.create_task(self._load_lazily(entry, warm_up))

    async def ready(self, entry: Entry, warm_up: WarmUp, call: Call) -> LoadedModel:
        """The loaded model, loading it first where it is lazy: once, however many ask. Raises ModelFailed,
        ModelLoading, ClientGone.
        """
        if entry.model is not None and entry.state == "ready":
            return entry.model
        if entry.state == "failed":
            raise ModelFailed(f"Model {entry.name!r} {entry.version} is not served: {entry.error}")
        if entry.loading is None:
            entry.loading = asyncio.create_task(self._load_lazily(entry, warm_up))
        entry.users += 1
        try:
            await call.wait(entry.loading)
        except DeadlineExceeded:
            raise ModelLoading(f"Model {entry.name!r} {entry.version} is still loading; try again shortly") from None
        finally:
            entry.users -= 1
        return await self.ready(entry, warm_up, call)

    async def _load_lazily(self, entry: Entry, warm_up: WarmUp) -> None:
        try:
            if entry.model is None:
                await self._load_in_worker(entry)
            await self.warm_up(entry, warm_up)
        finally:
            entry.loading = None

    def _set_state(self, entry: Entry, state: State) -> None:
        entry.state = state
        self._metrics.model_state(entry.name, entry.version, state)

    def _refuse(self, entry: Entry, error: ArtifactError) -> None:
        entry.fault = type(error)
        self._fail(entry, str(error))

    def _fail(self, entry: Entry, error: str) -> None:
        shown = error.replace(f"{entry.directory}/", "").replace(str(entry.directory), "its folder")
        entry.error = harmless(shown, _MOST_CHARACTERS)  # where our files are is nobody's business but the log's
        self._set_state(entry, "failed")
        log.error("%s is not served: %s", entry, error)
