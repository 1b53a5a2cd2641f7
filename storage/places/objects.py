"""Read and write objects of a bucket through paths that work like `pathlib.Path`.

A bucket has no folders and no rename: an object appears whole when its write ends, or not at all. A listing may be out
of date, so it never decides whether an object exists. It finds names, and shows folders to people and to
`harvest verify`.

Requests with transient failures (5xx, lost connections, timeouts) are retried with growing pauses for up to
`RETRY_SECONDS`. After that they raise an `OSError`, as a disk does.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import obstore
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

if TYPE_CHECKING:  # the types of obstore do not exist at run time
    from obstore.store import ClientConfig, RetryConfig
    from tenacity import Retrying


RETRY_SECONDS = 180  # longest time for which a request is retried
RETRIES = 15  # most tries of a request; pauses double from 0.1 s to 15 s, which bridges an outage of two minutes
REQUEST_SECONDS = 120  # timeout of a single request

T = TypeVar("T")


def _status(error: BaseException) -> int:
    """Return the HTTP status in an error's text; 0 if there is none. The client has no field for it."""
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else 0


class ObjectState(NamedTuple):
    """Size in bytes, entity tag and time of an object; the tag changes with every write of other content."""

    size: int
    etag: str | None
    changed: datetime


@dataclass(frozen=True, order=True)
class Bucket:
    """A bucket and the address of its server.

    Attributes
    ----------
    name : name of the bucket.
    endpoint : address of an S3 server other than Amazon's, e.g. `http://127.0.0.1:9000`.
    region : region of the bucket; default: the value of `AWS_REGION`, else `us-east-1`.
    retry_seconds : how long, in seconds, requests with transient failures are retried.
    """

    name: str
    endpoint: str | None = None
    region: str | None = None
    retry_seconds: int = RETRY_SECONDS

    @property
    def client(self) -> S3Store:
        """Return the client for requests: one per process, because its threads do not survive a fork."""
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
        virtual_hosted_style_request=False,  # few servers other than Amazon's support it
        client_options=options,
        retry_config=retries,
    )


class NoBucketError(FileNotFoundError):
    """Report a bucket that does not exist."""


@cache
def _again(seconds: int) -> "Retrying":
    """Return a retry rule for requests whose answers break off.

    The client itself retries a request only until its answer begins. Requests that the server understood and refused
    (4xx) are not retried.
    """
    # Here, because stores in folders do not need it, and importing it takes as long as `harvest --version`.
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_exponential_jitter

    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, GenericError) and not 400 <= _status(error) < 500),
        stop=stop_after_delay(seconds) | stop_after_attempt(RETRIES),
        wait=wait_exponential_jitter(multiplier=0.1, max=15),
        reraise=True,
    )


def request(path: "ObjectPath", ask: Callable[[], T]) -> T:
    """Send a request, retry it on transient failures, and turn its errors into those of a file system.

    Parameters
    ----------
    path : object that the request is about, for the error message.
    ask : the request; it must be safe to repeat.

    Raises
    ------
    NoBucketError : the bucket does not exist.
    FileNotFoundError : the object does not exist.
    PermissionError : the credentials are missing, or the server refused them.
    OSError : any other failure, after all retries.
    """
    try:
        return _again(path.bucket.retry_seconds)(ask)
    except (BaseError, FileNotFoundError) as error:
        raise _os_error(path, error) from None


def _os_error(path: object, error: Exception) -> OSError:
    said = str(error).strip().splitlines()[0]  # the other lines are for developers of the client
    if "NoSuchBucket" in str(error):
        return NoBucketError(f"{path} is in a bucket that does not exist")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"there is no object {path}")
    is_refused = isinstance(error, PermissionDeniedError | UnauthenticatedError) or _status(error) in (401, 403)
    return PermissionError(f"{path}: {said}") if is_refused else OSError(f"{path}: {said}")


@dataclass(frozen=True, order=True)
class ObjectPath:
    """Path of an object or of a key prefix, with the part of the interface of `pathlib.Path` that a store uses.

    Attributes
    ----------
    bucket : bucket that holds the object.
    key : name of the object in the bucket.
    """

    bucket: Bucket
    key: PurePosixPath

    def __truediv__(self, name: str | PurePosixPath) -> "ObjectPath":
        return ObjectPath(self.bucket, self.key / name)

    def __str__(self) -> str:
        return f"s3://{self.bucket.name}/{self._below}".rstrip("/")

    @property
    def _below(self) -> str:
        """Return the prefix of the keys of objects below."""
        return "" if self.key == PurePosixPath() else f"{self.key}/"

    @property
    def name(self) -> str:
        """Return the last part of the key."""
        return self.key.name

    @property
    def stem(self) -> str:
        """Return the name without its last suffix."""
        return self.key.stem

    @property
    def suffix(self) -> str:
        """Return the last suffix of the name."""
        return self.key.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the parts of the key."""
        return self.key.parts

    @property
    def parent(self) -> "ObjectPath":
        """Return the path one level up."""
        return ObjectPath(self.bucket, self.key.parent)

    def relative_to(self, other: "ObjectPath") -> PurePosixPath:
        """Return the part of the key below another path."""
        return self.key.relative_to(other.key)

    def as_uri(self) -> str:
        """Return the `s3://` address, without the server."""
        return str(self)

    def read_bytes(self) -> bytes:
        """Return the object's content.

        Raises
        ------
        FileNotFoundError, PermissionError, OSError : the object does not exist, or the request failed.
        """
        return request(self, lambda: obstore.get(self.bucket.client, str(self.key)).bytes().to_bytes())

    def checksum(self) -> tuple[int, str]:
        """Return size in bytes and SHA-256 (hex) of the content, read in blocks of some megabytes.

        Raises
        ------
        FileNotFoundError, PermissionError, OSError : the object does not exist, or the request failed.
        """

        def read() -> tuple[int, str]:
            digest, size = hashlib.sha256(), 0
            for block in obstore.get(self.bucket.client, str(self.key)).stream():
                digest.update(block)
                size += len(block)
            return size, digest.hexdigest()

        return request(self, read)

    def state(self) -> ObjectState:
        """Return size, tag and time of the last write of the object without reading it.

        Raises
        ------
        FileNotFoundError, PermissionError, OSError : the object does not exist, or the request failed.
        """
        found = request(self, lambda: obstore.head(self.bucket.client, str(self.key)))
        return ObjectState(found["size"], found["e_tag"], found["last_modified"])

    def is_file(self) -> bool:
        """Return whether the object exists, by asking for it and not by a listing."""
        try:
            self.state()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Return whether a listing shows any object below; only the first name is requested."""
        found = request(self, lambda: next(iter(obstore.list(self.bucket.client, self._below, chunk_size=1)), None))
        return bool(found)

    def files(self) -> Iterator["ObjectPath"]:
        """Yield every object below that a listing shows, sorted by key."""
        listed = request(self, lambda: obstore.list(self.bucket.client, prefix=self._below).collect())
        return (ObjectPath(self.bucket, PurePosixPath(key)) for key in sorted(found["path"] for found in listed))

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """Yield objects and prefixes in a listing that match a pattern, part by part between `/`."""
        patterns, seen = PurePosixPath(pattern).parts, set[PurePosixPath]()
        for path in self.files():
            relative = path.relative_to(self)
            parts = relative.parts[: len(patterns)]
            there = PurePosixPath(*parts)
            if len(parts) == len(patterns) and there not in seen and all(map(fnmatchcase, parts, patterns)):
                seen.add(there)
                yield self / there

    def write_bytes(self, content: bytes | Path) -> str | None:
        """Write bytes, or the content of a file, to the object and return its tag; it appears whole at the end.

        Raises
        ------
        PermissionError, OSError : the request failed; the earlier content is unchanged.
        """
        tag = request(self, lambda: obstore.put(self.bucket.client, str(self.key), content))["e_tag"]
        # After a multipart upload (a tag with a hyphen) some servers report another tag later.
        return tag if tag and "-" not in tag else self.state().etag

    def copy_to(self, target: "ObjectPath") -> None:
        """Copy the object within the bucket, on the server."""
        request(self, lambda: obstore.copy(self.bucket.client, str(self.key), str(target.key)))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object; no server treats a missing object as an error."""
        del missing_ok
        request(self, lambda: obstore.delete(self.bucket.client, str(self.key)))

    def remove_all(self) -> None:
        """Delete every object below that a listing shows."""
        if names := [str(path.key) for path in self.files()]:
            request(self, lambda: obstore.delete(self.bucket.client, names))
