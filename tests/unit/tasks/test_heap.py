"""Count the pages that a process fetches anew, with and without freed memory that is kept."""

import platform
import subprocess
import sys

import pytest

# Takes and frees blocks of 8, 40 and 80 MB in a thread, again and again, as a training step does.
REPEATED = """
import contextlib, resource, sys, threading
from tasks.heap import kept_memory, share_one_heap

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def steps():
    for n in range(6):
        if n == 2:  # the first ones fetch what the others use
            before = faults()
        blocks = [bytearray(b"1") * (size * 2**20) for size in (8, 40, 80)]
        del blocks
    print(faults() - before)

keeps = sys.argv[1] == "keeps"
if keeps:
    share_one_heap()
with kept_memory() if keeps else contextlib.nullcontext():
    thread = threading.Thread(target=steps)
    thread.start()
    thread.join()
print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_kept_for_the_next_step_and_then_returned() -> None:
    fetched, left_mb = zip(*(run(how) for how in ("keeps", "usual")), strict=True)
    assert fetched[0] < 500 < 50_000 < fetched[1]  # of four steps with 32,768 pages of 4 KiB each
    assert left_mb[0] < left_mb[1] + 60


def run(how: str) -> tuple[int, int]:
    """Return the pages that were fetched, and the MB that the process holds at the end."""
    done = subprocess.run([sys.executable, "-c", REPEATED, how], capture_output=True, text=True, check=True)
    faults, left = done.stdout.split()
    return int(faults), int(left)
