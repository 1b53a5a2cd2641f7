"""Keep what holds up the dates of a campaign: since when, why, and whether they wait for a person.

The look for new dates writes it, so that a person is told once. If it is missing or damaged, the next look begins anew.
"""

import json
from collections.abc import Iterator, Mapping

from pydantic import AwareDatetime, BaseModel, ConfigDict, RootModel, ValidationError

from storage.artifacts import Store
from storage.errors import ArtifactError
from storage.places.files import Place, read_file, remove_file, write_atomically

FOLDER = "obstacles"  # folder of the store for what holds up dates, a file for each campaign
SOURCE = "source"  # key of what holds up the look at a campaign's source; all others are dates


class Obstacle(BaseModel):
    """What holds up a date, or the look at a campaign's source.

    Attributes
    ----------
    since : first look that met it.
    why : what was found and what to do, in words.
    is_passing : whether it may pass by itself.
    needs_person : whether it waits for a person: it does not pass by itself, or has not within the patience.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: AwareDatetime
    why: str
    is_passing: bool
    needs_person: bool


Obstacles = RootModel[dict[str, Obstacle]]


def read_obstacles(store: Store, campaign: str) -> dict[str, Obstacle]:
    """Return what the last look found to hold up a campaign's dates, by date (YYYY-MM-DD) or `SOURCE`."""
    return _read(_path(store, campaign))


def write_obstacles(store: Store, campaign: str, found: Mapping[str, Obstacle]) -> None:
    """Replace what holds up a campaign's dates; without any the file is removed."""
    path = _path(store, campaign)
    if not found:
        remove_file(path)
        return
    content = {name: one.model_dump(mode="json") for name, one in found.items()}
    write_atomically(path, json.dumps(content, indent=1, sort_keys=True).encode())


def waiting_for_person(store: Store) -> Iterator[dict[str, str]]:
    """Yield what waits for a person, in all campaigns: `campaign`, `date` (or `SOURCE`), `since` and `why`."""
    for path in sorted((store.root / FOLDER).glob("*.json")):
        for name, one in sorted(_read(path).items()):
            if one.needs_person:
                since = one.since.isoformat(timespec="seconds")
                yield {"campaign": path.stem, "date": name, "since": since, "why": one.why}


def _read(path: Place) -> dict[str, Obstacle]:
    try:
        return Obstacles.model_validate_json(read_file(path)).root
    except (FileNotFoundError, ValidationError, ArtifactError):
        return {}


def _path(store: Store, campaign: str) -> Place:
    return store.root / FOLDER / f"{campaign}.json"
