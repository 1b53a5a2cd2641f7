"""Name, write and read artefacts: immutable results named by what made them, in a store."""

from storage.artifacts.drafts import MANIFEST, Draft
from storage.artifacts.store import Artifact, ArtifactRef, Manifest, Recipe, Store, content_digest, read_manifest

__all__ = [
    "MANIFEST",
    "Artifact",
    "ArtifactRef",
    "Draft",
    "Manifest",
    "Recipe",
    "Store",
    "content_digest",
    "read_manifest",
]
