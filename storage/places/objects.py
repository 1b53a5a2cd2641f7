"""Objects of a bucket, as far as a store needs them, by paths like those of a local folder.

A bucket has no folders and no rename: an object appears whole when its write ends, or not at all. A listing may be
older than the objects, so nothing here asks one whether an object is there; it finds names, and shows folders to people
and to `harvest verify`.

Requests that fail in passing (5xx, lost connections, timeouts) are repeated with growing pauses for up to
`RETRY_SECONDS`; what fails for longer is an `OSError`, as it is from a disk.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import obstore
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_exponential_jitter

if TYPE_CHECKING:  # they do not exist when the program runs
    from obstore.store import ClientConfig, RetryConfig


RETRY_SECONDS = 180
RETRIES = 15  # with pauses that double from 0.1 to 15 seconds: a server may be away for about two minutes
REQUEST_SECONDS = 120

T = TypeVar("T")


def _status(error: BaseException) -> int:
    """Status of the answer that an error tells of; 0 where there was none. Of listings the client tells it in words."""
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else 0


class ObjectState(NamedTuple):
    """Size in bytes and the server's tag of an object; the tag changes with every write of other content."""

    size: int
    etag: str | None


@dataclass(frozen=True, order=True)
class Bucket:
    """A bucket, and where its server is.

    Attributes
    ----------
    name : of the bucket.
    endpoint : address of an S3 server other than Amazon's, e.g. `http://127.0.0.1:9000`.
    region : default: that of `AWS_REGION`.
    retry_seconds : how long requests that fail in passing are repeated.
    """

    name: str
    endpoint: str | None = None
    region: str | None = None
    retry_seconds: int = RETRY_SECONDS

    @property
    def client(self) -> S3Store:
        """What requests go through: one for each process, since its threads do not survive a fork."""
        return _client(self, os.getpid())


@cache
def _client(bucket: Bucket, _process: int) -> S3Store:
    region = bucket.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    options: ClientConfig = {"timeout": timedelta(seconds=min(REQUEST_SECONDS, bucket.retry_seconds))}
    retries: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=bucket.retry_seconds)}
    if bucket.endpoint is None:
        return S3Store(bucket.name, region=region, client_options=options, retry_config=retries)
    options["allow_http"] = bucket.endpoint.startswith("http://")
    return S3Store(
        bucket.name,
        endpoint=bucket.endpoint,
        region=region,
        virtual_hosted_style_request=False,  # which other servers than Amazon's seldom know
        client_options=options,
        retry_config=retries,
    )


class NoBucketError(FileNotFoundError):
    """There is no such bucket."""


@cache
def _again(seconds: int) -> Retrying:
    """The client repeats a request until its answer begins; answers that break off are left to this.

    What the server understood and refused (4xx) stays refused.
    """
    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, GenericError) and not 400 <= _status(error) < 500),
        stop=stop_after_delay(seconds) | stop_after_attempt(RETRIES),
        wait=wait_exponential_jitter(multiplier=0.1, max=15),
        reraise=True,
    )


def request(path: "ObjectPath", ask: Callable[[], T]) -> T:
    """The answer to a request, all of which may be repeated, with errors as those of a file system.

    Raises
    ------
    NoBucketError, FileNotFoundError, PermissionError, OSError : what a request for `path` came to.
    """
    try:
        return _again(path.bucket.retry_seconds)(ask)
    except (BaseError, FileNotFoundError) as error:
        raise _os_error(path, error) from None


def _os_error(path: object, error: Exception) -> OSError:
    said = str(error).strip().splitlines()[0]  # the lines after it are for developers of the client
    if "NoSuchBucket" in str(error):
        return NoBucketError(f"no bucket of {path}")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"no object {path}")
    is_refused = isinstance(error, PermissionDeniedError | UnauthenticatedError) or _status(error) in (401, 403)
    return PermissionError(f"{path}: {said}") if is_refused else OSError(f"{path}: {said}")


@dataclass(frozen=True, order=True)
class ObjectPath:
    """Name of an object or of all that lies below it, with the part of `pathlib.Path` that a store uses.

    Attributes
    ----------
    bucket : where it lies.
    key : name in the bucket.
    """

    bucket: Bucket
    key: PurePosixPath

    def __truediv__(self, name: str | PurePosixPath) -> "ObjectPath":
        return ObjectPath(self.bucket, self.key / name)

    def __str__(self) -> str:
        return f"s3://{self.bucket.name}/{self._below}".rstrip("/")

    @property
    def _below(self) -> str:
        """What the keys of objects below begin with."""
        return "" if self.key == PurePosixPath() else f"{self.key}/"

    @property
    def name(self) -> str:
        """Last part of the key."""
        return self.key.name

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self.key.stem

    @property
    def suffix(self) -> str:
        """Last suffix of the name."""
        return self.key.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the key."""
        return self.key.parts

    @property
    def parent(self) -> "ObjectPath":
        """What it lies below."""
        return ObjectPath(self.bucket, self.key.parent)

    def relative_to(self, other: "ObjectPath") -> PurePosixPath:
        """The part of the key below another."""
        return self.key.relative_to(other.key)

    def as_uri(self) -> str:
        """Address, without the server's."""
        return str(self)

    def read_bytes(self) -> bytes:
        """The object's content.

        Raises
        ------
        FileNotFoundError, PermissionError, OSError : there is none, or the request failed.
        """
        return request(self, lambda: obstore.get(self.bucket.client, str(self.key)).bytes().to_bytes())

    def checksum(self) -> tuple[int, str]:
        """Size in bytes and SHA-256 (hex) of the content, of which some megabytes are in memory at a time.

        Raises
        ------
        FileNotFoundError, PermissionError, OSError : there is none, or the request failed.
        """

        def read() -> tuple[int, str]:
            digest, size = hashlib.sha256(), 0
            for block in obstore.get(self.bucket.client, str(self.key)).stream():
                digest.update(block)
                size += len(block)
            return size, digest.hexdigest()

        return request(self, read)

    def state(self) -> ObjectState:
        """Size and tag of the object, which is not read.

        Raises
        ------
        FileNotFoundError, PermissionError, OSError : there is none, or the request failed.
        """
        found = request(self, lambda: obstore.head(self.bucket.client, str(self.key)))
        return ObjectState(found["size"], found["e_tag"])

    def is_file(self) -> bool:
        """Whether there is such an object; nothing is listed."""
        try:
            self.state()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether a listing shows anything below, of which it is asked for the first name alone."""
        found = request(self, lambda: next(iter(obstore.list(self.bucket.client, self._below, chunk_size=1)), None))
        return bool(found)

    def files(self) -> Iterator["ObjectPath"]:
        """Every object below, in order, as a listing shows them."""
        listed = request(self, lambda: obstore.list(self.bucket.client, prefix=self._below).collect())
        return (ObjectPath(self.bucket, PurePosixPath(key)) for key in sorted(found["path"] for found in listed))

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """Objects and what they lie below, matched part by part by a pattern with `/`, as a listing shows them."""
        patterns, seen = PurePosixPath(pattern).parts, set[PurePosixPath]()
        for path in self.files():
            relative = path.relative_to(self)
            parts = relative.parts[: len(patterns)]
            there = PurePosixPath(*parts)
            if len(parts) == len(patterns) and there not in seen and all(map(fnmatchcase, parts, patterns)):
                seen.add(there)
                yield self / there

    def write_bytes(self, content: bytes | Path) -> str | None:
        """Write the object, of bytes or of a file's, and return its tag; it appears whole at the end.

        Raises
        ------
        PermissionError, OSError : the request failed; what was there before is still there.
        """
        tag = request(self, lambda: obstore.put(self.bucket.client, str(self.key), content))["e_tag"]
        # Of an object that was sent in parts a server may have another tag later.
        return tag if tag and "-" not in tag else self.state().etag

    def copy_to(self, target: "ObjectPath") -> None:
        """Let the server copy the object within the bucket."""
        request(self, lambda: obstore.copy(self.bucket.client, str(self.key), str(target.key)))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object; deleting what is not there is no error on any server."""
        del missing_ok
        request(self, lambda: obstore.delete(self.bucket.client, str(self.key)))

    def remove_all(self) -> None:
        """Delete every object below that a listing shows."""
        if names := [str(path.key) for path in self.files()]:
            request(self, lambda: obstore.delete(self.bucket.client, names))
