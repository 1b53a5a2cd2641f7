"""Refuse what a command line, a campaign's file or a folder listing shows, before torch and Prefect are imported.

The stages check the same rules again, because other programs start them too. What the checks here cannot know, they
leave to the stages.
"""

import ctypes
import importlib.util
import re
import sys
from collections.abc import Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path

from flows.parameters import CampaignParams
from storage.errors import InputError
from tasks.classify.params import EXPORTED, check_copies
from tasks.cluster.checks import check_methods
from tasks.parameters import Runtime
from tasks.sources import AnySource
from tasks.sources.checks import require_dates
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.release import CLASSES

# A definition that torchvision registers under its name: `@register_model()`, other decorators, `def resnet18(`.
_REGISTERED = re.compile(r"^@register_model\((?:name=\"(\w+)\")?\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


def check_campaign_early(params: CampaignParams, runtime: Runtime, is_here: bool = True) -> None:
    """Refuse a campaign that cannot be run, as far as its file, its folders and this machine show it.

    Parameters
    ----------
    is_here : whether this machine trains and explains.

    Raises
    ------
    InputError : the source's root, a date or the classifier's file is missing, the architecture is unknown, the number
        of copies fits no number of classes, maps would be approximate, or there is no CUDA device.
    """
    check_classifier(params)
    if params.classifier is None:
        check_copies(params.augment.copies, n_classes_of(params))
    check_methods(params.explain.methods, params.cluster)
    if is_here:
        check_cuda(runtime)
    check_dates(params.source, params.dates)


def check_dates(source: AnySource, dates: Sequence[date]) -> None:
    """Refuse a source whose root is missing, and dates that it has no image of.

    Raises
    ------
    InputError : there is no such folder, or no image of a date.
    """
    available = source.available_dates()
    if available or not isinstance(source, FolderSource):  # a folder's images may have no dates of their own
        require_dates(dates, available)


def check_classifier(params: CampaignParams) -> None:
    """Refuse a classifier's file that is missing, and an architecture that torchvision does not have."""
    given = params.classifier
    if given and not Path(given.path).is_file():
        found = "is a folder" if Path(given.path).is_dir() else "does not exist"
        raise InputError(
            f"The classifier's file {given.path} {found}",
            "classifier.path must be the file of a trained classifier",
            "correct classifier.path; a relative path starts at the folder of the TOML file",
        )
    key, name = ("classifier", given.architecture) if given else ("train", params.train.architecture)
    known = architectures()
    if not known or name in known or (given and name == EXPORTED):
        return
    near = ", ".join(get_close_matches(name.lower(), sorted(known), n=4, cutoff=0))
    raise InputError(
        f"{key}.architecture is {name!r}",
        f"{key}.architecture must be the name of a torchvision classifier{f', or {EXPORTED}' if given else ''}",
        f"use for example {near}",
    )


def architectures() -> set[str]:
    """Return the names of torchvision's classifiers, read from its files without importing it.

    The set is empty where torchvision is not found, or registers its models in another way.
    """
    package = importlib.util.find_spec("torchvision")
    folders = [Path(place) / "models" for place in (package.submodule_search_locations or ())] if package else []
    texts = (file.read_text(encoding="utf-8") for folder in folders for file in folder.glob("*.py"))
    return {name or function for text in texts for name, function in _REGISTERED.findall(text)}


def n_classes_of(params: CampaignParams) -> int | None:
    """Return the number of classes, where source or file tell it without a listing."""
    if not isinstance(params.source, FolderSource) or params.source.harvest_table:
        return len(CLASSES)
    return None if params.source.classes is None else len(params.source.classes)


def check_cuda(runtime: Runtime) -> None:
    """Refuse `runtime.device = "cuda"` on a machine without a CUDA device, as far as its driver tells."""
    if runtime.device == "cuda" and n_cuda_devices() == 0:
        raise InputError(
            "The NVIDIA driver of this machine finds no CUDA device",
            "With runtime.device = cuda there must be a CUDA device",
            "use runtime.device = auto or cpu, or run on a machine with a GPU",
        )


def n_cuda_devices() -> int | None:
    """Return the number of CUDA devices that the driver finds; None on systems where the driver is not asked."""
    if sys.platform != "linux" or (Path("/dev/kfd").exists()):  # torch calls AMD's devices cuda too
        return None
    try:
        driver, n = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(0)
        is_ready = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(n)) == 0
    except (OSError, AttributeError):
        return 0
    return n.value if is_ready else 0
