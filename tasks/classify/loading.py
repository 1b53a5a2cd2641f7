"""Loading classifiers of artefacts, each once in a process however many of its tasks ask for it. No Prefect.

What is kept is known by the checksum of its weights and not by its artefact's name: two stores may each have trained a
classifier of one name, on machines whose sums differ in the last bit. Every caller gets modules of its own around the
same weights, so that a hook which one puts on its model is not seen by another in a thread beside it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from storage.artifacts import Artifact
from tasks.classify.model import Classifier, choose_device, freeze, read_model, weights_file
from tasks.parameters import Runtime

MAX_KEPT = 2  # classifiers; a process computes one campaign at a time, and two of an audit may take turns

Key = tuple[str, ...]


class KeptClassifiers:
    """The classifiers that a process used last, at most `size` of them, loaded by one thread while others wait.

    Attributes
    ----------
    n_loads : how often something was loaded since the process began.
    """

    def __init__(self, size: int) -> None:
        self.size, self.n_loads = size, 0
        self._makers: OrderedDict[Key, Callable[[], Classifier]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Key, load: Callable[[], Callable[[], Classifier]]) -> Classifier:
        """A classifier of the caller's own; `load` reads what is not kept and tells how to make one of it."""
        with self._lock:
            if key not in self._makers:
                self._makers[key] = load()
                self.n_loads += 1
            self._makers.move_to_end(key)
            while len(self._makers) > self.size:
                self._makers.popitem(last=False)
            return self._makers[key]()


KEPT = KeptClassifiers(MAX_KEPT)


def load_classifier(artifact: Artifact, runtime: Runtime, precision: str = "float32") -> Classifier:
    """The classifier of an artefact, ready to run on the device that `runtime` asks for.

    `precision` is that of the whole process's CUDA convolutions, `float32` or `tf32`.

    Raises
    ------
    InputError : a device that is not there, or weights that are no classifier's.
    ArtifactError : the artefact lacks a file.
    """
    device = choose_device(runtime, precision)
    card = artifact.read_json("card.json")
    architecture, mean, std, classes = (card[name] for name in ("architecture", "mean", "std", "classes"))
    file = weights_file(architecture)
    facts = (architecture, *classes, *mean, *std, device, precision)
    key = (artifact.manifest.files[file].sha256, *map(str, facts))

    def load() -> Callable[[], Classifier]:
        make = read_model(artifact.read_bytes(file), architecture, len(classes), str(artifact.ref))
        return lambda: freeze(make(), tuple(classes), tuple(mean), tuple(std), device)

    return KEPT.take(key, load)
