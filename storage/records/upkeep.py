"""Keep how far the verification of a store has come, and what it found damaged and is not whole again.

This is state and no result. If it is missing or damaged, verification begins a new round.
"""

from pydantic import BaseModel, ConfigDict, Field

from storage.artifacts import Store
from storage.errors import ArtifactError
from storage.places.files import Place, read_file, write_atomically


class Damage(BaseModel):
    """Damage of a folder or record of a store.

    Attributes
    ----------
    problems : one sentence per problem, naming the file.
    found : when it was found (ISO 8601).
    n_tries : how often its repair was tried; people were told at the first try.
    """

    model_config = ConfigDict(extra="forbid")

    problems: list[str]
    found: str
    n_tries: int = 0


class Upkeep(BaseModel):
    """State of the verification of a store in rounds; in each round every folder is read once.

    Attributes
    ----------
    begun : when the present round began (ISO 8601); empty between two rounds.
    after : folder that was read last, relative to the store. Folders are read in the order of their names.
    n_bytes : bytes read in the present round.
    completed : when the last round was completed (ISO 8601); empty before the first.
    damaged : damage that is not repaired, by the folder or record relative to the store.
    """

    model_config = ConfigDict(extra="forbid")

    begun: str = ""
    after: str = ""
    n_bytes: int = 0
    completed: str = ""
    damaged: dict[str, Damage] = Field(default_factory=dict[str, Damage])


def read_upkeep(store: Store) -> Upkeep:
    """Read the state of a store's verification; a new one where there is none, or it cannot be read."""
    try:
        return Upkeep.model_validate_json(read_file(upkeep_path(store)))
    except (FileNotFoundError, ValueError, ArtifactError):
        return Upkeep()


def write_upkeep(store: Store, state: Upkeep) -> None:
    """Replace the state of a store's verification."""
    write_atomically(upkeep_path(store), state.model_dump_json(indent=1).encode())


def upkeep_path(store: Store) -> Place:
    """Return the place of the state of a store's verification."""
    return store.root / "upkeep.json"
