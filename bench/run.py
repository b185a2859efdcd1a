"""The run: round by round every contender in turn, so that what drifts on the machine meets all of them."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from . import machine
from .contenders import SCRIPT, SLIPWAY, Contender
from .load import measure, warm_up
from .results import Measurement, Run, Start
from .server import Server, ServerFailed, environment
from .validate import validate
from .workloads import PackedModel, pack

SHARED_MEMORY = Path("/dev/shm")
WARM_UP = 1  # seconds of load before the first window of a body
AROUND_SERVER = 6.0  # seconds, as experience has it: start, answers compared, stop
AROUND_WINDOW = 0.5
OWN = 30.0  # seconds of `slipway bench`


@dataclass(frozen=True)
class Plan:
    """What to measure. `minutes` is the length of the whole run, from which that of one window follows."""

    contenders: Sequence[Contender]
    models: Sequence[str]
    rows: Sequence[int]
    connections: Sequence[int]
    rounds: int
    minutes: float
    warm_up: int = WARM_UP

    @property
    def servers(self) -> int:
        return self.rounds * len(self.contenders) * len(self.models)

    @property
    def bodies(self) -> int:
        return (
            self.rounds
            * len(self.models)
            * sum(contender.path(rows) is not None for contender in self.contenders for rows in self.rows)
        )

    @property
    def windows(self) -> int:
        return self.bodies * len(self.connections)

    @property
    def seconds(self) -> int:
        """Of one window; wrk takes whole ones."""
        left = self.minutes * 60 - self.servers * AROUND_SERVER - self.bodies * self.warm_up
        return max(1, int(left / self.windows - AROUND_WINDOW))

    @property
    def expected_minutes(self) -> float:
        measuring = self.windows * (self.seconds + AROUND_WINDOW) + self.bodies * self.warm_up
        return (self.servers * AROUND_SERVER + measuring) / 60


def carry_out(plan: Plan, command: str, output: Path) -> Run:
    """Measures all of the plan and writes `output` after each round. A contender that fails is noted there, and the
    others go on.
    """
    run = Run(f"{datetime.now(UTC):%Y-%m-%d %H:%M}", command, machine.facts(), plan.rounds, plan.seconds)
    interference = machine.Interference()
    parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None  # where Slipway keeps its metrics, as it would by itself
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder,
        tqdm(total=plan.servers, unit="server", disable=None, dynamic_ncols=True) as bar,
    ):
        scratch = Path(folder)
        models = [pack(name, scratch) for name in plan.models]
        run.forms = {model.name: model.form for model in models}
        run.failures += [
            f"{name} was not compiled: `{SLIPWAY}` answers with the estimator"
            for name, form in run.forms.items()
            if form is None
        ]
        for number in range(plan.rounds):
            first = number * len(plan.contenders) // plan.rounds  # another one in each round
            for contender in (*plan.contenders[first:], *plan.contenders[:first]):
                for model in models:
                    bar.set_description(f"round {number + 1}, {model.name}, {contender.name}")
                    try:
                        _measure_server(plan, run, number, contender, model, scratch)
                    except (ServerFailed, OSError, subprocess.SubprocessError) as error:
                        run.failures.append(f"round {number + 1}, {model.name}: {error}")
                    bar.update()
            run.stolen = interference.stolen()
            run.write(output)
        try:
            run.own = measure_own(models[-1], min(OWN, plan.minutes))
        except subprocess.CalledProcessError as error:
            run.failures.append(f"slipway bench: {error.output.strip()}")
    run.write(output)
    return run


def measure_own(model: PackedModel, seconds: float) -> str:
    """What a user of `slipway bench` sees of the model. Raises CalledProcessError."""
    directory = model.artifact.parent
    command = [SCRIPT, "bench", str(directory), "--seconds", f"{seconds:g}"]
    done = subprocess.run(
        command, check=True, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return f"$ slipway bench models/{directory.relative_to(model.models)}\n{done.stdout.strip()}"


def _measure_server(plan: Plan, run: Run, number: int, contender: Contender, model: PackedModel, scratch: Path) -> None:
    with Server(contender, model, scratch) as server:
        for rows in plan.rows:
            path = contender.path(rows)
            if path is None:
                continue
            workload = model.workload(rows)
            validate(server, workload)
            bodies = scratch / f"{model.name}-{rows}.txt"
            bodies.write_text("\n".join(workload.bodies) + "\n")
            if plan.warm_up:
                warm_up(server, path, bodies, plan.warm_up)
            for connections in plan.connections:
                measured = measure(server, path, bodies, connections=connections, seconds=plan.seconds)
                run.measurements.append(Measurement(contender.name, model.name, rows, connections, number, measured))
        run.starts.append(Start(contender.name, model.name, number, server.cold_start, server.pss_mib()))
