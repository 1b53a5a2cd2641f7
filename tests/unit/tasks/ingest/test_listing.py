"""The share of bad image files above which a run stops."""

import pytest

from storage.errors import InputError
from tasks.ingest.listing import check_bad_share


class TestBadShare:
    @pytest.mark.parametrize(("n_bad", "n_images", "share"), [(0, 0, 0.0), (5, 95, 0.05), (4, 96, 0.05), (9, 0, 1.0)])
    def test_up_to_the_share_passes(self, n_bad: int, n_images: int, share: float) -> None:
        check_bad_share({"unreadable": n_bad}, n_images, share)

    def test_refused_with_the_counts(self) -> None:
        rejected = {"unreadable": 4, "harvested": 90, "duplicate": 2, "ambiguous": 7}
        with pytest.raises(InputError) as refused:
            check_bad_share(rejected, 94, 0.05)
        assert refused.value.found == "6 of 100 image files are bad: 2 duplicate, 4 unreadable"
        assert "At most 5% of the image files" in refused.value.rule and "max_bad_share" in refused.value.remedy

    def test_plants_left_out_for_their_harvest_are_not_bad(self) -> None:
        check_bad_share({"harvested": 90, "ambiguous": 9, "same_day": 3}, 1, 0.0)
