"""Test which campaigns keep pictures of their orthophotos."""

from typing import Any

import pytest

from flows.parameters import CampaignParams
from flows.report.backgrounds import has_backgrounds

FIELD = {"kind": "field", "root": "f", "rasters": "{date}.tif", "plants": {"path": "p.gpkg", "id_column": "id"}}
RELEASE = {"kind": "growliflower", "root": "r"}


@pytest.mark.parametrize(
    ("source", "pixels", "is_kept"),
    [
        (FIELD, None, True),
        (RELEASE, 300, True),
        (FIELD, 0, False),
        ({"kind": "folder", "root": "f"}, None, False),
        ({"kind": "synthetic"}, None, False),
    ],
)
def test_sources_with_orthophotos_keep_them_unless_nobody_wants_them(
    source: dict[str, Any], pixels: int | None, is_kept: bool
) -> None:
    wanted = {} if pixels is None else {"field": {"background_pixels": pixels}}
    params = CampaignParams.model_validate({"campaign": "x", "source": source, "dates": ["2024-05-01"], **wanted})
    assert has_backgrounds(params) == is_kept
