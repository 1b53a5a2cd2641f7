"""Measure the CPU time of help, version and early errors of the command line, against importing what a run needs."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measure import Row, compare
from tests.support.campaigns import HARVEST

REPEATS = 5
GOOD = 'dates = ["2022-08-25"]\n[source]\nkind = "folder"\nroot = "{root}"\n'
# Arguments by what the command meets; `{folder}` holds the campaign files below.
COMMANDS = {
    "harvest --help": ("--help",),
    "harvest --version": ("--version",),
    "a TOML file that does not exist": ("run", "{folder}/none.toml"),
    "a TOML file with a wrong key": ("run", "{folder}/key.toml"),
    "a folder of images that does not exist": ("run", "{folder}/root.toml"),
    "an unknown architecture": ("run", "{folder}/architecture.toml"),
    "a classifier's file that does not exist": ("run", "{folder}/classifier.toml"),
    "a campaign that is not in the store": ("report", "none", "--store", "{folder}"),
}
FILES = {
    "key.toml": GOOD + "[train]\nepoch = 3\n",
    "root.toml": GOOD.format(root="/no/such/folder"),
    "architecture.toml": GOOD + '[train]\narchitecture = "resnet19"\n',
    "classifier.toml": GOOD + '[classifier]\npath = "none.pt"\n',
}


def command_rows() -> list[Row]:
    """Return a row for each command, with the least CPU seconds of some repetitions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in FILES.items():
            (folder / file).write_text(text.replace("{root}", name))
        imports = cpu_seconds([sys.executable, "-c", "import prefect, torch, torchvision"])
        return [
            compare(what, cpu_seconds([HARVEST, *(word.format(folder=folder) for word in words)]), "imports", imports)
            for what, words in COMMANDS.items()
        ]


def cpu_seconds(command: Sequence[str | Path]) -> float:
    """Return the least CPU time of a command, in seconds, without the first run, which reads files from the disk."""
    times: list[float] = []
    for _ in range(REPEATS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times[1:])
