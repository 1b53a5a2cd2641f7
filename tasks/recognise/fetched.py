"""Write the campaign file for images that were fetched from the public release."""

import re
from collections.abc import Sequence
from datetime import date

from tasks.recognise.campaign_file import write_campaign
from tasks.recognise.keys import Key
from tasks.sources.checks import join_dates
from tasks.sources.fiftyone.release import REPOSITORY, describe_drawn_splits


def fetched_campaign(
    root: str, field: str, dates: Sequence[date], is_paper: bool, has_splits: bool, revision: str, terms: str
) -> str:
    """Return the text of the campaign file for fetched images.

    Parameters
    ----------
    root : folder that holds samples.json, relative to the campaign file.
    is_paper : field and dates are those of the paper's experiment, which then is what the file describes.
    has_splits : the samples state the split of the plants.
    revision : commit of the release that was fetched.
    terms : what the release states about its licence.
    """
    experiment = f"the experiment of Kierdorf & Roscher (2023), arXiv 2305.15149: {field}, {join_dates(dates)}"
    head = [
        f"GrowliFlower, {experiment if is_paper else f'{field}, {join_dates(dates)}'}",
        f"Images: {REPOSITORY} on the Hugging Face hub, revision {revision}.",
        f"{terms}.",
        *([] if has_splits else [f"{describe_drawn_splits(root)}."]),
    ]
    name = f"growliflower-{re.sub(r'[^a-z0-9]+', '-', field.lower())}"
    keys = [
        Key("", "campaign", name, "Name of the results in the store."),
        Key("", "dates", [day.isoformat() for day in dates], "Dates of the images that were fetched."),
        Key("source", "kind", "fiftyone", "The FiftyOne release."),
        Key("source", "root", root, "Folder of samples.json, relative to this file."),
        Key("source", "field", field, "The field whose images were fetched."),
    ]
    if is_paper:
        keys.append(Key("adjust", "rule", "paper", "The rule of the paper's experiment."))
    return write_campaign(head, keys)
