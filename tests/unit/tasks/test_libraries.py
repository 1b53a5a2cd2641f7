"""Test that stages do not load large libraries that they do not use."""

import subprocess
import sys

import pytest

from tests.support.repository import ROOT


@pytest.mark.slow
def test_stages_without_a_classifier_load_no_torch() -> None:
    """Torch takes 490 MB, more than the images of a field and the blocks of its orthophoto."""
    stages = ("ingest.ingest", "ingest.new_date", "score.score", "adjust.adjust", "decide.decide", "export.export")
    program = f"import {', '.join(f'tasks.{one}' for one in stages)}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
