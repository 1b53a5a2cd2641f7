"""Load classifiers from artefacts, each once per process, and cache them for all tasks of the process. No Prefect.

The cache key holds the checksum of the weights, not the artefact's name. Two stores may hold classifiers of one name
that were trained on different machines, whose sums differ in the last bit. Every caller gets its own modules around
shared weights, so a hook that one task adds is not called in a parallel thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from pydantic import BaseModel, ValidationError

from storage.artifacts import Artifact, Recipe
from storage.errors import ArtifactError, InputError
from storage.places.files import describe_content, reason
from tasks.classify.given import read_model
from tasks.classify.model import Classifier, choose_device, freeze, weights_file
from tasks.classify.params import EXPORTED, Outputs
from tasks.parameters import Runtime

MAX_KEPT = 2  # classifiers cached per process; an audit alternates between two, everything else uses one

Key = tuple[str, ...]


class KeptClassifiers:
    """Cache of the `size` most recently used classifiers. While one thread loads a classifier, the others wait.

    Attributes
    ----------
    n_loads : number of loads since the process began.
    """

    def __init__(self, size: int) -> None:
        self.size, self.n_loads = size, 0
        self._makers: OrderedDict[Key, Callable[[], Classifier]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Key, load: Callable[[], Callable[[], Classifier]]) -> Classifier:
        """Return a classifier with modules that only the caller uses.

        Parameters
        ----------
        key : cache key.
        load : reads a classifier that is not cached, and returns a function that makes copies of it.
        """
        with self._lock:
            if key not in self._makers:
                self._makers[key] = load()
                self.n_loads += 1
            self._makers.move_to_end(key)
            while len(self._makers) > self.size:
                self._makers.popitem(last=False)
            return self._makers[key]()


KEPT = KeptClassifiers(MAX_KEPT)


class Card(BaseModel):
    """What an artefact says about its classifier, as far as it is needed to run it."""

    architecture: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...]
    outputs: Outputs = "logits"


def read_card(artifact: Artifact) -> Card:
    """Read the card of a classifier.

    Raises
    ------
    ArtifactError : it is missing or damaged.
    """
    try:
        return Card.model_validate(artifact.read_json("card.json"))
    except ValidationError as error:
        said = f"{artifact.folder / 'card.json'} cannot be read as the card of a classifier: {reason(error)}"
        raise ArtifactError(said) from None


def load_classifier(artifact: Artifact, runtime: Runtime, precision: str = "float32") -> Classifier:
    """Load the classifier of an artefact, ready to run on the device of `runtime`.

    Parameters
    ----------
    precision : precision of CUDA convolutions in the whole process, `float32` or `tf32`.

    Raises
    ------
    InputError : the device is missing, or the weights do not belong to a classifier.
    ArtifactError : the artefact lacks a file, or its program is not the one that it is named after.
    """
    device = choose_device(runtime, precision)
    card = read_card(artifact)
    file = weights_file(card.architecture)
    if file not in artifact.manifest.files:
        raise artifact.lacks(file)
    facts = (card.architecture, card.outputs, *card.classes, *card.mean, *card.std, device, precision)
    key = (artifact.manifest.files[file].sha256, *map(str, facts))

    def load() -> Callable[[], Classifier]:
        content = artifact.read_bytes(file)
        if card.architecture == EXPORTED:
            check_program(artifact, content)
        try:
            make = read_model(content, card.architecture, len(card.classes), str(artifact.ref), card.outputs)
        except InputError as error:  # some are about the card alone, which a person did not write
            if artifact.ref.digest in error.found:
                raise
            raise InputError(
                f"{artifact.ref} has a card of no classifier: {error.found}", error.rule, error.remedy
            ) from None
        return lambda: freeze(make(), card.classes, card.mean, card.std, device)

    return KEPT.take(key, load)


def check_program(artifact: Artifact, content: bytes) -> None:
    """Refuse a program that is not the file that the artefact is named after, because loading a program may run code.

    The name of a given classifier's artefact is a digest that covers the checksum of its file. So whoever may write to
    the store cannot put another program under the name that a campaign asks for.

    Raises
    ------
    ArtifactError : the artefact's name does not cover this content.
    """
    said = artifact.manifest
    named = Recipe(said.kind, said.revision, said.params, said.inputs).ref
    if named != artifact.ref or said.params.get("sha256") != describe_content(content).sha256:
        raise ArtifactError(
            f"The program in {artifact.ref} is not the one that the artefact is named after. A program can run code, "
            "so it was not loaded. Find out who wrote it, delete the artefact, and run the campaign again"
        )
