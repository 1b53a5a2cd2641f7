"""Make a part of a report once, and keep it as an artefact of its own."""

from collections.abc import Callable

from storage.artifacts import Artifact, Draft, Recipe, Store
from tasks.stage import versions


def made(store: Store, recipe: Recipe, write: Callable[[Draft], None]) -> Artifact:
    """Return the artefact of a recipe; `write` fills it if the store lacks it."""
    if not store.holds(recipe.ref):
        with store.create(recipe, versions()) as draft:
            write(draft)
    return store.open(recipe.ref)
