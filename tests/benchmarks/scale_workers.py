"""Time the flow's tasks that predict and explain a campaign, with some workers, in a separate process.

Only the time inside the flow counts, after Prefect's server has started. The module prints JSON.
"""

import json
import sys
import time

from flows.cli.options import configure_prefect

configure_prefect(logs=False)  # before Prefect is imported

from flows.cli.server.own import await_server, begin_server  # noqa: E402

SERVER = begin_server() if __name__ == "__main__" else None  # Dask's workers import this module too

from prefect import flow  # noqa: E402

from flows.fit import fit_artifacts  # noqa: E402
from flows.parameters import CampaignParams  # noqa: E402
from storage.artifacts import ArtifactRef  # noqa: E402
from tasks.parameters import Runtime  # noqa: E402
from tests.benchmarks.scale_field import named_field  # noqa: E402
from tests.benchmarks.scale_stages import Run  # noqa: E402


@flow(name="bench-scale", validate_parameters=False)
def fit_timed(params: CampaignParams, store: str, artifacts: dict[str, ArtifactRef], runtime: Runtime) -> float:
    """Return the seconds that `fit_artifacts` takes."""
    begun = time.perf_counter()
    fit_artifacts(params, store, artifacts, runtime)
    return time.perf_counter() - begun


def main(store: str, workers: str, runner: str, weights: str, *field: str) -> None:
    """Run the flow and print its seconds as JSON."""
    run = Run(named_field(*field), weights)
    given = {role: ref for role, ref in run.roles.items() if role == "classifier" or role.startswith("images ")}
    runtime = Runtime.model_validate({"device": "cpu", "workers": int(workers), "task_runner": runner})
    await_server(SERVER)
    seconds = fit_timed(run.params, store, given, runtime)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
