"""Fetch files of a data set on the Hugging Face hub into a local folder, and check every byte of them.

The client `huggingface_hub` sends the requests. It retries those for files, and this module retries those for
descriptions. Files are fetched whole: the client continues an answer that is cut, but a later process begins a file
anew, because the client gives each download a temporary file of its own and removes it.

The client reads `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and the proxy's variables. It is imported at the first
request, because importing it takes longer than an early error may take.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from storage.places.faults import writing

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

HUB = "https://huggingface.co"  # where HF_ENDPOINT names no other hub
AT_ONCE = 8  # files requested in parallel, as the client does itself
NAMES_AT_ONCE = 500  # files that one request asks the size and digest of, as the client does itself
SECONDS = 60  # timeout of a request for a description; the client's own has none
# Read by the client when it is imported. Nothing is told about this machine, and no second bar or line of a retry is
# printed. Xet, a protocol for parts of large files, gains nothing for photographs of some kilobytes.
SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_XET": "1",
}
REVISION = re.compile(r"[0-9a-f]{40}")
# What may pass, as the client takes it for files: statuses of answers, and errors of connections by their names.
PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
PASSING_ERRORS = frozenset({"NetworkError", "TimeoutException", "RemoteProtocolError"})
TRIES, FIRST_WAIT = (
    4,
    0.5,
)  # of a request for a description; seconds before the second try, doubled for each further one
OF_CONNECTIONS = ("httpx", "httpx2")  # packages whose errors say that a connection failed
RULE = "A release is fetched from its hub; files that are there and right are kept"
GO_ON = "run the same command again to go on"


class HubError(OSError):
    """Report a hub that cannot be reached, refuses a request, or sends something else than it should."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}\n  rule: {RULE}\n  remedy: {remedy}")


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A data set at one revision.

    Attributes
    ----------
    name : owner and name, such as `Voxel51/GrowliFlower`.
    endpoint : address of the hub.
    revision : commit (hex) of the revision that files are fetched of.
    licence : licence in the metadata of its card; empty if there is none.
    """

    name: str
    endpoint: str
    revision: str
    licence: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """What the hub states about a file.

    Attributes
    ----------
    name : path in the data set, with `/`.
    size : bytes.
    sha256 : SHA-256 (hex) of the content; empty for a small file that lies in git itself.
    blob : name of the content in git (SHA-1, hex), which counts where there is no SHA-256.
    """

    name: str
    size: int
    sha256: str
    blob: str

    def is_at(self, path: Path) -> bool:
        """Return whether a path holds this file, byte for byte."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as stream:
            if self.sha256:
                return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256
            head = f"blob {self.size}\0".encode()
            return hashlib.sha1(head + stream.read(), usedforsecurity=False).hexdigest() == self.blob


def find_dataset(name: str) -> HubDataset:
    """Ask the hub for the newest revision and the licence of a data set.

    Raises
    ------
    HubError : the hub cannot be reached, or does not give the data set.
    """
    endpoint = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    with _asking(name, endpoint):
        client = _client(endpoint)
        info = _retried(lambda: client.dataset_info(name, expand=["sha", "cardData"], timeout=SECONDS))
        licence = getattr(info.card_data, "license", None) or ""
        words = licence if isinstance(licence, str) else ", ".join(map(str, licence))
        if not REVISION.fullmatch(str(info.sha)):
            raise ValueError(f"the revision is {info.sha!r}")
    return HubDataset(name, endpoint, str(info.sha), words)


def describe_files(dataset: HubDataset, names: Sequence[str]) -> dict[str, HubFile]:
    """Return size and digest of each named file; a file that the data set does not have is left out.

    Raises
    ------
    HubError : the hub cannot be reached, or refuses the request.
    """
    found: dict[str, HubFile] = {}
    asked = set(names)
    for i in range(0, len(names), NAMES_AT_ONCE):
        with _asking(dataset.name, dataset.endpoint):
            from huggingface_hub.hf_api import RepoFile

            client, part = _client(dataset.endpoint), list(names[i : i + NAMES_AT_ONCE])
            listed = _retried(
                partial(client.get_paths_info, dataset.name, part, repo_type="dataset", revision=dataset.revision)
            )
        for one in listed:
            if isinstance(one, RepoFile) and one.path in asked:
                found[one.path] = HubFile(one.path, one.size, one.lfs.sha256 if one.lfs else "", one.blob_id)
    return found


def right_files(files: Iterable[HubFile], folder: Path) -> set[str]:
    """Return the names of those files that a folder holds, byte for byte."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda one: one.name if one.is_at(folder / one.name) else "", files)
        return {name for name in found if name}


def fetch_files(
    dataset: HubDataset, files: Collection[HubFile], folder: Path, tell: Callable[[HubFile], object]
) -> None:
    """Fetch files into a folder, each by its name in the data set; what stands in their places is replaced.

    Every file appears whole. After an error those that were finished stay.

    Parameters
    ----------
    tell : called with every file that is finished.

    Raises
    ------
    HubError : the hub cannot be reached, refuses a request, or sends other bytes than it states; or a file's name leads
        out of the folder.
    WriteError : the disk is full or read-only.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(_fetch_file, dataset, file, folder) for file in files]
        try:
            for one in as_completed(waiting):
                tell(one.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_file(dataset: HubDataset, file: HubFile, folder: Path) -> HubFile:
    path = Path(os.path.normpath(folder / file.name))
    if not path.is_relative_to(os.path.normpath(folder)):
        raise HubError(f"The file {file.name} of {dataset.name} would lie outside {folder}", "do not use this data set")
    with writing(f"File {file.name}", folder, file.size), _asking(dataset.name, dataset.endpoint):
        # The client takes a damaged file for the right one where its time is not newer than the client's note of it.
        path.unlink(missing_ok=True)
        _client(dataset.endpoint).hf_hub_download(
            dataset.name, file.name, repo_type="dataset", revision=dataset.revision, local_dir=folder
        )
    if not file.is_at(path):
        path.unlink(missing_ok=True)
        found = f"{dataset.endpoint} sent other bytes of {file.name} than it states: size or digest differ"
        raise HubError(found, f"{GO_ON}; if it fails again, look at the proxy that requests go through")
    return file


def _client(endpoint: str) -> "HfApi":
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from huggingface_hub import HfApi
    from huggingface_hub.utils import get_session

    get_session().timeout = SECONDS
    return HfApi(endpoint=endpoint)


def _retried(ask: Callable[[], T]) -> T:
    """Ask, and again a few times if the request fails in a way that may pass."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

    wait = wait_exponential_jitter(multiplier=FIRST_WAIT, jitter=FIRST_WAIT)
    again = Retrying(retry=retry_if_exception(_may_pass), stop=stop_after_attempt(TRIES), wait=wait, reraise=True)
    return again(ask)


def _may_pass(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING_STATUSES
    return not PASSING_ERRORS.isdisjoint(one.__name__ for one in type(error).__mro__)


@contextmanager
def _asking(name: str, endpoint: str) -> Generator[None]:
    """Turn whatever the client raises about a request into a HubError; errors of the disk stay what they are."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise HubError(*_found_and_remedy(name, endpoint, error)) from error


def _found_and_remedy(name: str, endpoint: str, error: Exception) -> tuple[str, str]:
    """Say what became of a request, and what to do."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # the client looked for a local file in place of what failed
    said = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids requests to the hub", f"unset HF_HUB_OFFLINE, then {GO_ON}"
    if isinstance(error, errors.GatedRepoError):
        remedy = f"accept them on {endpoint}/datasets/{name} and set HF_TOKEN to a token of that account, then {GO_ON}"
        return f"{endpoint} gives {name} only to people who accepted its conditions", remedy
    if isinstance(error, errors.RepositoryNotFoundError):
        remedy = f"look at {endpoint}/datasets/{name}, at HF_ENDPOINT and at HF_TOKEN, then {GO_ON}"
        return f"{endpoint} has no data set {name}, or does not show it without a token", remedy
    if isinstance(error, errors.HfHubHTTPError):
        return _of_status(endpoint, error.response.status_code, str(error.response.url).split("?")[0])
    if type(error).__module__.split(".")[0] in OF_CONNECTIONS:
        remedy = f"look at the network, the proxy (HTTPS_PROXY) and HF_ENDPOINT, then {GO_ON}"
        return f"{endpoint} cannot be reached ({said})", remedy
    remedy = f"look at HF_ENDPOINT, and whether the network wants a login first, then {GO_ON}"
    return f"{endpoint} does not answer as a hub does ({said})", remedy


def _of_status(endpoint: str, status: int, address: str) -> tuple[str, str]:
    found = f"{endpoint} answered a request with {status}: {address}"
    if status == 401:
        return found, f"correct HF_TOKEN, or unset it: public data sets need none; then {GO_ON}"
    if status == 403:
        return found, f"look whether HF_TOKEN, or a firewall, forbids it; then {GO_ON}"
    if status == 429:
        return found, f"wait five minutes, or set HF_TOKEN, with which more requests are allowed; then {GO_ON}"
    if status == 404:
        return found, f"the data set may have changed meanwhile: {GO_ON}"
    return found, f"wait some minutes, then {GO_ON}"
