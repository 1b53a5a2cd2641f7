"""Read and write addresses of stores: a folder, or `s3://bucket/prefix?endpoint=http://host:port&region=name`.

The address holds everything except credentials, so that it means the same store to every worker.
"""

import re
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, urlencode, urlsplit

from storage.errors import InputError
from storage.places.objects import Bucket, NoBucketError, ObjectPath

SCHEME = "s3"  # the only scheme of addresses in a bucket
OPTIONS = ("endpoint", "region")  # options of an address, after the question mark
REGION = re.compile(r"[\w-]+", re.ASCII)  # name of a region
FIRST_SECONDS = 15  # longest wait for the first answer, before any work; later waits may be longer


def parse_address(address: str) -> ObjectPath:
    """Parse `s3://bucket/prefix?endpoint=http://host:port&region=name`; the options may be left out.

    Raises
    ------
    InputError : another scheme, no bucket, unknown options, or credentials in the address, which Prefect would show.
    """
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    _refuse(
        parts.scheme != SCHEME,
        f"The store's address has the scheme {parts.scheme}",
        "give a folder, or s3://bucket/prefix; for another object store that speaks S3, set `endpoint`",
    )
    _refuse(
        "@" in address or any("key" in name or "secret" in name for name in options),
        "The store's address contains credentials, which logs and the Prefect UI would show",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    )
    _refuse(not parts.netloc, f"The store's address {address} names no bucket", "give s3://bucket/prefix")
    unknown = ", ".join(sorted(options.keys() - set(OPTIONS)))
    _refuse(
        bool(unknown),
        f"The store's address has the unknown option {unknown}",
        f"use only the options {' and '.join(OPTIONS)}",
    )
    endpoint = options.get("endpoint")
    _refuse(
        endpoint is not None and urlsplit(endpoint).scheme not in ("http", "https"),
        f"The store's address has the endpoint {endpoint}, without http:// or https://",
        "give the endpoint's whole address, e.g. endpoint=https://s3.example.org",
    )
    region = options.get("region")
    _refuse(
        region is not None and not REGION.fullmatch(region),  # it becomes part of the server's name
        f"The store's address has the region {region}",
        "give the name of a region, e.g. region=eu-central-1",
    )
    _refuse(".." in parts.path.split("/"), f"The store's address has `..` in {parts.path}", "name the prefix itself")
    return ObjectPath(Bucket(parts.netloc, endpoint, region), PurePosixPath(parts.path.strip("/")))


def _refuse(is_wrong: bool, found: str, remedy: str) -> None:
    if is_wrong:
        raise InputError(found, "A store must be a folder, or a place in a bucket: s3://bucket/prefix", remedy)


def format_address(root: ObjectPath) -> str:
    """Return the address of a place in a bucket; `parse_address` is the inverse."""
    options = {name: value for name in OPTIONS if (value := getattr(root.bucket, name)) is not None}
    return str(root) + (f"?{urlencode(options, safe=':/')}" if options else "")


def check_bucket(root: ObjectPath) -> None:
    """Refuse a bucket that does not exist, or refuses this process, before any work starts.

    Raises
    ------
    InputError : the bucket does not exist, or the credentials are wrong or missing.
    OSError : the server does not answer.
    """
    rule = "The bucket of a store must exist, and its credentials must be in the environment"
    impatient = ObjectPath(replace(root.bucket, retry_seconds=FIRST_SECONDS), root.key)
    try:
        impatient.is_dir()
    except NoBucketError:
        raise InputError(f"There is no bucket {root.bucket.name}", rule, "create it, or correct the address") from None
    except PermissionError as error:
        raise InputError(
            f"The server refuses access to {error}",
            rule,
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or let the key read, write and list",
        ) from None
