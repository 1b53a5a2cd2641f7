"""Decision rows made by hand or drawn, and pages of them, for tests of the field page."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from tasks.report.field.page import FieldPage, field_page
from tasks.report.field.pictures import PICTURE_BYTES, Pictures
from tasks.report.field.summary import FieldDay
from tasks.report.inputs import CampaignResults
from tasks.report.render import render_field

CLASSES = ("not_ready", "ready")


def plant(name: str, decision: str, reliability: float, answer: str = "ready", **changes: Any) -> dict[str, Any]:
    """Return the decision about a plant, without a position, in plot 1."""
    ready = reliability if answer == "ready" else 1 - reliability
    return {
        "plant_id": name,
        "decision": decision,
        "answer": answer,
        "answer_reliability": reliability,
        "ready_probability": ready,
        **dict.fromkeys(("row", "number", "easting", "northing")),
        "plot": "1",
        "is_corrected": False,
        "check_reason": "",
        **changes,
    }


ROWS = [
    plant("a", "harvest", 0.9),
    plant("b", "check", 0.6, check_reason="unsure"),
    plant("c", "leave", 0.7, answer="not_ready", plot="10", is_corrected=True),
    plant("d", "check", 0.5, answer="not_ready", plot="2", check_reason="unsure novel"),
]


def large(n: int) -> list[FieldDay]:
    """Draw three dates of a field of n plants in plots of a thousand, a fifth of them to check."""
    random = np.random.default_rng(0)
    days: list[FieldDay] = []
    for date in ("2026-08-23", "2026-08-30", "2026-09-03"):
        shares, words = random.random(n), random.choice(["harvest", "leave", "leave", "leave", "check"], n)
        rows = [
            plant(
                f"2026_Ref_Plot{i // 1000}_{'ABCDEFGHIJ'[i // 100 % 10]}{i % 100:02d}",
                str(words[i]),
                0.5 + float(shares[i]) / 2,
                plot=str(i // 1000),
                row="ABCDEFGHIJ"[i // 100 % 10],
                number=i % 100,
                easting=0.5 * (i % 100),
                northing=0.6 * (i // 100),
                check_reason="unsure" if words[i] == "check" else "",
            )
            for i in range(n)
        ]
        days.append(FieldDay(date, True, rows))
    return days


def page_of(days: list[FieldDay]) -> tuple[FieldPage, str]:
    """Render a page whose pictures take all that they may."""
    named = [row["plant_id"] for row in days[-1].rows if row["decision"] != "leave"][:300]
    pictures = Pictures(days[-1].date, named, [bytes(PICTURE_BYTES // 3)] * 3, bytes(64 * len(named)), 5)
    field = field_page("field2-2026", days, CLASSES, ["gradcam"], [], [], pictures)
    results = SimpleNamespace(campaign="field2-2026", uses_ground_truth=False)
    return field, render_field(cast(CampaignResults, results), field)
