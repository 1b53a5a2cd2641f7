"""Name flow runs, and make their tags and the keys of their artifacts, by campaign and acquisition dates.

Everything follows from a run's flow and its parameters. So whoever sees a run first can name it: the program that sends
it, the service's sweep while the run waits, or the run itself when it begins. The module knows no Prefect.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

CAMPAIGN_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"  # pattern of the names of campaigns and backfills
NAME_RULE = "up to 64 lower-case letters, digits and . _ -, beginning with a letter or digit"
# First words of the names of a flow's runs, by flow. Runs of other flows keep the name that they have.
VERBS = {
    "analyse-campaign": "",
    "fit-and-explain": "",
    "score-acquisition": "score",
    "score-dates": "score",
    "discover-acquisitions": "discover",
    "backfill-seasons": "backfill",
    "renew-campaign": "renew",
    "audit-campaign": "audit",
    "mark-broken-promise": "broken promise of",
}
# Letters that stand in a key for the characters between the words of a campaign's name.
SEPARATORS = {"-": "m", "_": "u", ".": "d"}


@dataclass(frozen=True)
class Subject:
    """Campaign and dates that a flow run is of.

    Attributes
    ----------
    campaign : empty for a run of no campaign, or of several.
    dates : acquisition dates as YYYY-MM-DD, ascending.
    """

    campaign: str = ""
    dates: tuple[str, ...] = ()

    @property
    def date(self) -> str:
        """Return the only date; empty for a run of no date, or of several."""
        return self.dates[0] if len(self.dates) == 1 else ""

    @property
    def words(self) -> str:
        """Return campaign and dates as words, such as `field2-2021 2021-08-23..2021-09-03`."""
        span = [self.dates[0], self.dates[-1]] if len(self.dates) > 1 else self.dates
        return f"{self.campaign} {'..'.join(span)}".strip()

    @property
    def tags(self) -> set[str]:
        """Return the tags `campaign:NAME` and `date:YYYY-MM-DD`.

        A run of several dates has no tag of a date, because Prefect repeats all tags of a run in each of its events.
        """
        said = {"campaign": self.campaign, "date": self.date}
        return {f"{name}:{value}" for name, value in said.items() if value}


def subject_of(parameters: Mapping[str, Any]) -> Subject:
    """Return what a flow run with these parameters is of, whichever flow it is; a wrong value counts as missing."""
    given = {**_fields(parameters.get("params")), **parameters}
    seasons = [_fields(one) for one in _items(given.get("seasons"))] or [given]  # a backfill may be of one campaign
    names = {str(one.get("campaign")) for one in seasons}
    campaign = names.pop()
    if names or not is_name(campaign):
        return Subject()
    days = [day for one in seasons for day in (*_items(one.get("dates")), one.get("date"))]
    return Subject(campaign, tuple(sorted({found for day in days if (found := _iso(day))})))


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a campaign or of a backfill."""
    return re.fullmatch(CAMPAIGN_NAME, text) is not None


def name_of(flow: str, parameters: Mapping[str, Any]) -> str | None:
    """Return the name of a flow's run, such as `score field2-2021 2021-09-06`.

    Returns
    -------
    None if the parameters name no campaign, or runs of the flow have other names.
    """
    words = subject_of(parameters).words
    if flow == "backfill-seasons":
        own = str(_fields(parameters.get("params")).get("name"))
        words = own if is_name(own) else ""
    return f"{VERBS[flow]} {words}".strip() if words and flow in VERBS else None


def artifact_key(kind: str, campaign: str, day: str | date = "") -> str:
    """Return the key of an artifact in the Prefect UI, such as `field2-2021--summary-2021-09-06`.

    Prefect keeps one history for each key, so campaigns must not share any. Keys take neither `.` nor `_`. Both become
    dashes, and letters after two dashes then say what each dash was: `field.2_b` is `field-2-b--du`.

    Parameters
    ----------
    kind : what the artifact shows, in lower-case letters, digits and single dashes.
    campaign : name of the campaign or backfill; empty for an artifact of none.
    day : acquisition date, for an artifact of one date.
    """
    what = f"{kind}-{day}" if day else kind
    is_plain = re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", campaign)
    spelt = "".join(SEPARATORS.get(one, "") for one in campaign)
    name = campaign if is_plain else f"{re.sub('[._]', '-', campaign)}--{spelt}"
    return f"{name}--{what}" if campaign else what


def _fields(value: Any) -> Mapping[str, Any]:
    """Return the fields of parameters, as JSON or as a model; nothing of any other value."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else ()


def _iso(day: Any) -> str:
    try:
        return str(date.fromisoformat(str(day)))
    except ValueError:
        return ""
