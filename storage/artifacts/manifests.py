"""Read the manifests of artefacts and of published folders."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from storage.artifacts.drafts import MANIFEST
from storage.errors import ArtifactError
from storage.places.files import FileRecord, Place, read_file, reason
from storage.places.names import FileName

M = TypeVar("M", bound=BaseModel)


class Manifest(BaseModel):
    """What an artefact is, what made it and which files belong to it.

    Attributes
    ----------
    files : size and checksum of each file, by its name below `place`.
    place : folder of the files below the artefact's name; empty: beside the manifest.
    summary : the stage's key figures about its result, as JSON.
    created : when the manifest was written (ISO 8601, UTC).
    versions : versions of the packages that made the numbers, by name.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str
    digest: str
    revision: int
    params: dict[str, Any]
    inputs: dict[str, Any]
    files: dict[FileName, FileRecord]
    place: FileName = ""
    summary: dict[str, Any]
    created: str
    versions: dict[str, str]


def read_manifest(folder: Place, model: type[M], name: str = MANIFEST) -> M:
    """Read the manifest of a folder, or of one of its parts.

    Raises
    ------
    ArtifactError : the manifest is missing, is no file, or cannot be read.
    """
    path = folder / name
    try:
        return model.model_validate_json(read_file(path))
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{folder} has no {name}: never finished, or deleted") from None
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read as a manifest: {reason(error)}") from None
