"""Measure the commands that compute nothing: help, completion, early errors, and a campaign whose results are cached.

The former are compared with importing what a run needs. The latter has a goal in CPU seconds, those of its Prefect
server among them, and one in seconds that a person waits.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.measure import REPEATS, Row, compare
from tests.support.campaigns import HARVEST
from tests.support.commands import CAMPAIGN

GOOD = 'dates = ["2022-08-25"]\n[source]\nkind = "folder"\nroot = "{root}"\n'
# Arguments by what the command meets; `{folder}` holds the campaign files below.
COMMANDS = {
    "harvest --help": ("--help",),
    "harvest --version": ("--version",),
    "completion of a command's name": (),
    "a TOML file that does not exist": ("run", "{folder}/none.toml"),
    "a TOML file with a wrong key": ("run", "{folder}/key.toml"),
    "a folder of images that does not exist": ("run", "{folder}/root.toml"),
    "an unknown architecture": ("run", "{folder}/architecture.toml"),
    "a classifier's file that does not exist": ("run", "{folder}/classifier.toml"),
    "a campaign that is not in the store": ("report", "none", "--store", "{folder}"),
}
NONE: Mapping[str, str] = {}
COMPLETION = {"_HARVEST_COMPLETE": "complete_bash", "COMP_WORDS": "harvest r", "COMP_CWORD": "1"}  # pressing Tab
GOAL_CPU_S, GOAL_S = 12.0, 10.0  # of a campaign whose results are cached: CPU seconds, and seconds to wait
FILES = {
    "key.toml": GOOD + "[train]\nepoch = 3\n",
    "root.toml": GOOD.format(root="/no/such/folder"),
    "architecture.toml": GOOD + '[train]\narchitecture = "resnet19"\n',
    "classifier.toml": GOOD + '[classifier]\npath = "none.pt"\n',
}


def command_rows() -> list[Row]:
    """Return a row for each command, with the CPU seconds of some repetitions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in FILES.items():
            (folder / file).write_text(text.replace("{root}", name))
        imports = cpu_seconds([sys.executable, "-c", "import prefect, torch, torchvision"])
        return [
            compare(
                what,
                cpu_seconds([HARVEST, *(word.format(folder=folder) for word in words)], {} if words else COMPLETION),
                "imports",
                imports,
            )
            for what, words in COMMANDS.items()
        ]


def cached_rows() -> list[Row]:
    """Return CPU seconds and seconds of `harvest run` on a campaign whose results are all cached, against their goals.

    The campaign is run once before, and once with the cached results, which reads files from the disk.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "field.toml").write_text(CAMPAIGN.format(methods=["gradcam"]).replace("epochs = 5", "epochs = 1"))
        command = [HARVEST, "run", folder / "field.toml", "--store", folder / "store"]
        outside = {one: value for one, value in os.environ.items() if not one.startswith("PREFECT_")}
        variables = {**outside, "PREFECT_HOME": str(folder / "home")}
        subprocess.run(command, capture_output=True, check=True, env=variables)
        measured = [_spent(command, variables) for _ in range(REPEATS + 1)][1:]
    cpu, waited = ([one[k] for one in measured] for k in range(2))
    return [
        compare("harvest run, all cached, CPU seconds", cpu, "goal", GOAL_CPU_S),
        compare("harvest run, all cached, seconds", waited, "goal", GOAL_S),
    ]


def _spent(command: Sequence[str | Path], variables: dict[str, str]) -> tuple[float, float]:
    """Run a command, and return its CPU seconds, with those of its own processes, and its seconds."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, capture_output=True, check=False, env=variables)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - begun


def cpu_seconds(command: Sequence[str | Path], more: Mapping[str, str] = NONE) -> list[float]:
    """Return the CPU times of a command in seconds, without the first run, which reads files from the disk."""
    return [_spent(command, {**os.environ, **more})[0] for _ in range(REPEATS + 1)][1:]
