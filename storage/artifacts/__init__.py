"""Name, write and read artefacts: immutable results named by what made them, in a store."""

from storage.artifacts.drafts import MANIFEST, Draft
from storage.artifacts.manifests import Manifest, read_manifest
from storage.artifacts.store import Artifact, ArtifactRef, Recipe, Role, Store, content_digest

__all__ = [
    "MANIFEST",
    "Artifact",
    "ArtifactRef",
    "Draft",
    "Manifest",
    "Recipe",
    "Role",
    "Store",
    "content_digest",
    "read_manifest",
]
