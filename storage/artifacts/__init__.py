"""Name, write and read artefacts: immutable results named by what made them, in a store."""

from storage.artifacts.drafts import MANIFEST, Draft
from storage.artifacts.json_files import Streamed, content_digest
from storage.artifacts.manifests import Manifest, read_manifest
from storage.artifacts.store import Artifact, ArtifactRef, Recipe, Role, Store

__all__ = [
    "MANIFEST",
    "Artifact",
    "ArtifactRef",
    "Draft",
    "Manifest",
    "Recipe",
    "Role",
    "Store",
    "Streamed",
    "content_digest",
    "read_manifest",
]
