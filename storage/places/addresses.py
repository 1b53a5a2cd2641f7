"""Addresses of stores: a folder, or `s3://bucket/prefix?endpoint=http://host:port&region=name`.

Everything but credentials is in the address, so that it means the same store to every worker that is given it.
"""

from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, urlencode, urlsplit

from storage.errors import InputError
from storage.places.objects import Bucket, NoBucketError, ObjectPath

SCHEME = "s3"
OPTIONS = ("endpoint", "region")
FIRST_SECONDS = 15  # in which a server must have answered before any work; later on it may be away for longer


def parse_address(address: str) -> ObjectPath:
    """Where a store at `s3://bucket/prefix?endpoint=http://host:port&region=name` lies; the options may be left out.

    Raises
    ------
    InputError : another scheme, no bucket, unknown options, or credentials in the address, which Prefect would show.
    """
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    _refuse(
        parts.scheme != SCHEME,
        f"the scheme {parts.scheme}",
        "give a folder, or s3://bucket/prefix; other object stores speak S3 too, see `endpoint`",
    )
    _refuse(
        "@" in address or any("key" in name or "secret" in name for name in options),
        "credentials in the address, which logs and the Prefect UI would show",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    )
    _refuse(not parts.netloc, f"no bucket in {address}", "give s3://bucket/prefix")
    unknown = ", ".join(sorted(options.keys() - set(OPTIONS)))
    _refuse(bool(unknown), f"the option {unknown}", f"options are {' and '.join(OPTIONS)}")
    endpoint = options.get("endpoint")
    _refuse(
        endpoint is not None and urlsplit(endpoint).scheme not in ("http", "https"),
        f"the endpoint {endpoint}",
        "give its whole address, e.g. endpoint=https://s3.example.org",
    )
    _refuse(".." in parts.path.split("/"), f"the path {parts.path}", "name the prefix itself")
    return ObjectPath(Bucket(parts.netloc, endpoint, options.get("region")), PurePosixPath(parts.path.strip("/")))


def _refuse(is_wrong: bool, found: str, remedy: str) -> None:
    if is_wrong:
        raise InputError(found, "A store is a folder, or a place in a bucket: s3://bucket/prefix", remedy)


def format_address(root: ObjectPath) -> str:
    """The address that `parse_address` makes this of."""
    options = {name: value for name in OPTIONS if (value := getattr(root.bucket, name)) is not None}
    return str(root) + (f"?{urlencode(options, safe=':/')}" if options else "")


def check_bucket(root: ObjectPath) -> None:
    """Refuse a bucket that is not there, or does not let this process in, before any work.

    Raises
    ------
    InputError : no such bucket; wrong or missing credentials.
    OSError : the server does not answer.
    """
    rule = "A store's bucket is there and its credentials are in the environment"
    impatient = ObjectPath(replace(root.bucket, retry_seconds=FIRST_SECONDS), root.key)
    try:
        impatient.is_dir()
    except NoBucketError:
        raise InputError(f"no bucket {root.bucket.name}", rule, "create it, or correct the address") from None
    except PermissionError as error:
        raise InputError(
            str(error), rule, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or let the key read, write and list"
        ) from None
