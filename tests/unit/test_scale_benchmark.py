"""The benchmark of growth: its fits by hand, and a tiny campaign through every stage."""

import uuid
from pathlib import Path

import pytest

from storage.artifacts import Store
from tasks import stage
from tests.benchmarks.scale_field import Field, draw_field, splits_of
from tests.benchmarks.scale_fit import Measured, growth
from tests.benchmarks.scale_orthophoto import draw, run_step, touched_bytes
from tests.benchmarks.scale_stages import STAGES, Run

N, N_DATES = 160, 2


class TestGrowth:
    def test_proportional_work_beside_a_fixed_cost(self) -> None:
        rows = [Measured(n, 3 + 0.01 * n, 500, 600 + 0.001 * n) for n in (1_000, 10_000, 100_000)]
        found = growth(rows)
        assert found.fixed_s == pytest.approx(3)
        assert found.exponent_of_work == pytest.approx(1)
        assert found.exponent < 1
        assert found.bytes_each == pytest.approx(1000)
        assert found.gib_at_million == pytest.approx((600e6 + 1e9) / 2**30)
        assert found.fits

    def test_quadratic_work_is_told(self) -> None:
        found = growth([Measured(n, 1e-6 * n**2, 500, 0.1 * n) for n in (1_000, 10_000, 100_000)])
        assert found.exponent == pytest.approx(2)
        assert found.exponent_of_work == pytest.approx(2)
        assert not found.fits

    def test_two_sizes_leave_nothing_to_tell_of_the_work(self) -> None:
        found = growth([Measured(10, 5, 1, 1), Measured(20, 4, 1, 1)])
        assert found.exponent_of_work is None
        assert found.exponent < 0


@pytest.mark.slow
class TestField:
    def test_what_is_fitted_does_not_grow(self) -> None:
        small, large = splits_of(50, 20), splits_of(5_000, 20)
        for split in ("val", "train"):
            assert small.count(split) == large.count(split) == 10
        assert len(large) == 5_000

    def test_tiny_campaign_through_every_stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("create_progress_artifact", "update_progress_artifact"):
            monkeypatch.setattr(stage, name, lambda **_: uuid.uuid4())  # there is no server here
        field = Field(tmp_path, N, N_DATES)
        draw_field(field)
        run = Run(field, None)
        for each in STAGES.values():
            each(run)
            run.save()
            run = Run(field, None)
        assert Store(field.store).open(run.roles["report"]).read_bytes("index.html").count(b"field-data")
        assert len([role for role in run.roles if role.startswith("decisions ")]) == N_DATES


def test_an_orthophoto_is_drawn_and_read(tmp_path: Path) -> None:
    draw(tmp_path, 4, 20)
    touched = touched_bytes(tmp_path, 4)
    assert (
        touched == 3 * 512**2 * 10
    )  # two rows of four, and two below: six plants a row, on borders of blocks and between
    step = run_step("read", tmp_path)
    assert step.n == 20 and step.peak_mb >= step.start_mb > 0 and step.read_bytes >= touched
