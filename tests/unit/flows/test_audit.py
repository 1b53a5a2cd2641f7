"""Tests of what an audit would run, and of what its command prints."""

from datetime import date
from typing import Any

import pytest

from flows.audit import chosen_methods, explaining, n_more_tasks
from flows.cli.audit import print_audit
from flows.parameters import CampaignParams
from flows.running.stages import n_tasks
from storage.errors import InputError
from tasks.explain.methods import ExplainParams
from tasks.sources.synthetic.source import SyntheticSource

PARAMS = CampaignParams(
    campaign="x",
    source=SyntheticSource(),
    dates=(date(2021, 8, 23), date(2021, 9, 3)),
    explain=ExplainParams(methods=("gradcam", "lime")),
)


def test_methods_are_the_campaigns() -> None:
    assert chosen_methods(PARAMS, ()) == PARAMS
    assert chosen_methods(PARAMS, ["lime"]).explain.methods == ("lime",)
    with pytest.raises(InputError, match="asked for occlusion; the campaign has gradcam, lime"):
        chosen_methods(PARAMS, ["gradcam", "occlusion"])


def test_only_the_explained_class_changes() -> None:
    changed = explaining(PARAMS, "label")
    assert changed.explain.explained_class == "label"
    assert explaining(changed, "predicted") == PARAMS


@pytest.mark.parametrize("methods", [("gradcam",), ("gradcam", "lime")])
def test_tasks_are_counted(methods: tuple[str, ...]) -> None:
    """Count 6 reused artefacts of two dates, 2 predictions of labelled images, and 2 for writing and publishing.

    An analysis has no sensitivity and no exports of the two dates.
    """
    params = chosen_methods(PARAMS, methods)
    one, both = (n_tasks(chosen_methods(PARAMS, m)) for m in (("gradcam",), ("gradcam", "lime")))
    assert n_tasks(params) + n_more_tasks(params, 3) == 10 + 3 * len(methods) * (both - one - 1 - 2)


def printed(capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], **more: Any) -> str:
    """Print these rows as the command does, and return the text."""
    print_audit(
        {
            "campaign": "field2-2021",
            "rows": rows,
            "warning": "explained_class = label: uses ground truth",
            "left_out": {},
            "problems": [],
            "page": "/store/reports/field2-2021+audit/index.html",
            **more,
        }
    )
    return capsys.readouterr().out


def row(choice: str, **more: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("auroc", "largest_error_share", "largest_error_share_p", "heterogeneity_p"))
    shares = {"accuracy_before": 0.724, "accuracy_after": 0.881, "accuracy_crossfitted": None, "label_probe": 0.951}
    return {"explained_class": choice, "method": "gradcam", "split": "test", "n": 194, **nothing, **shares, **more}


def test_every_row_is_printed_and_label_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, [row("predicted", auroc=0.6), row("label")]).splitlines()
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if "gradcam" in line]
    nothing = ["–", "–", "–"]
    assert cells == [
        ["predicted", "gradcam", "test", "194", "72.4%", "88.1%", "–", "0.600", "0.951", *nothing],
        ["label (!)", "gradcam", "test", "194", "72.4%", "88.1%", "–", "–", "0.951", *nothing],
    ]
    assert "(!) explained_class = label: uses ground truth" in lines
    assert lines[-1] == "page: /store/reports/field2-2021+audit/index.html"


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    assert "[bold]ripe" in printed(capsys, [row("[bold]ripe")])


def test_what_has_no_rows_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, [], problems=["label, gradcam: no kernel [groups] them."], left_out={"new": 3, "test": 1})
    assert "no rows: label, gradcam: no kernel [groups] them." in text
    assert "left out where label is explained, for lack of a label: 3 new, 1 test" in text
