"""Name files on servers, `s3://bucket/key` and `https://host/path`, of which GDAL reads the ranges that it needs.

Credentials of buckets come from the environment (`AWS_ACCESS_KEY_ID`, ...), as for a store in a bucket.
"""

import hashlib
import os
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from storage.errors import AwayError, InputError

SCHEMES = ("s3://", "https://", "http://")
OPTIONS = {"endpoint", "region"}  # options of an address in a bucket, after the question mark
RETRY_SECONDS = 15  # longest time for which a server is asked again
STATE_SECONDS = 60  # time for which what a server has said of a file holds
RULE = "An orthophoto on a server must be named as s3://bucket/key or https://host/path, without credentials"

# GDAL looks for no files beside a raster, repeats requests that fail in passing, and keeps no pixels of a file that it
# has closed, because another file may have taken its place.
GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/:/vsicurl/",
    "GDAL_HTTP_CONNECTTIMEOUT": str(RETRY_SECONDS),
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
}


def is_remote(path: str) -> bool:
    """Return whether a path is an address on a server."""
    return path.startswith(SCHEMES)


def locate(root: Path, path: str) -> "Path | RemoteFile":
    """Return the file that a path names: on a server, or else below the root."""
    return RemoteFile(path) if is_remote(path) else root / path


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on a server.

    Attributes
    ----------
    address : `s3://bucket/key?endpoint=http://host:port&region=name`, of which the options may be left out, or an
        address of http or https.
    """

    address: str

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return unquote(urlsplit(self.address).path).rpartition("/")[2]

    @property
    def gdal_name(self) -> str:
        """Return the name by which GDAL opens the file."""
        parts = urlsplit(self.address)
        return f"/vsis3/{parts.netloc}{parts.path}" if parts.scheme == "s3" else f"/vsicurl/{self.address}"

    def gdal_options(self) -> dict[str, Any]:
        """Return the options of GDAL under which the file is opened."""
        if not self.address.startswith("s3://"):
            return GDAL_OPTIONS
        options = self._options()
        found = {**GDAL_OPTIONS, "AWS_REGION": options["region"]} if "region" in options else GDAL_OPTIONS
        if (endpoint := self._endpoint()) is None:
            return found
        server = urlsplit(endpoint)
        is_safe = "YES" if server.scheme == "https" else "NO"
        place = f"{server.netloc}{server.path}".rstrip("/")
        return {**found, "AWS_S3_ENDPOINT": place, "AWS_HTTPS": is_safe, "AWS_VIRTUAL_HOSTING": "FALSE"}

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the address, and of size and tag or time of change as the server states them.

        Raises
        ------
        InputError : as for `ask`.
        """
        return _state(self.address, int(time.monotonic() // STATE_SECONDS))

    def ask(self) -> str:
        """Ask the server for the file, and return the digest of what it states.

        Raises
        ------
        InputError : there is no such file, the server refuses access, does not answer, or does not say when the file
            was changed; or the address has credentials or unknown options.
        """
        self._refuse_options()
        try:
            size, tag = self._state_in_bucket() if self.address.startswith("s3://") else self._state_on_server()
        except FileNotFoundError:
            raise InputError(
                f"There is no orthophoto {self.address}",
                "Every orthophoto that [source.rasters] names must be there",
                "correct the address",
            ) from None
        except PermissionError as error:
            raise InputError(
                f"The server refuses access to the orthophoto {error}",
                "Orthophotos on a server must be readable: those in a bucket with credentials from the environment, "
                "others by everybody",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for a bucket, or copy the file below source.root",
            ) from None
        except OSError as error:
            raise AwayError(
                f"The orthophoto {error} cannot be reached",
                "A server that orthophotos are read from must answer while they are read",
                "check the address and the connection, then run the same command again",
            ) from None
        if not tag:
            raise InputError(
                f"The server of {self.address} states neither ETag nor Last-Modified",
                "A changed orthophoto must be told from an unchanged one without reading all of it",
                "copy the file below source.root",
            )
        return hashlib.sha256(f"{self.address} {size} {tag}".encode()).hexdigest()

    def refuse_to_go_on(self, error: Exception) -> NoReturn:
        """Raise InputError that reading has failed, for the reason that the server gives, or else that of GDAL."""
        self.ask()
        raise InputError(
            f"The orthophoto {self.address} could not be read: {str(error).replace(self.gdal_name, self.name)}",
            "An orthophoto on a server must be whole, and its server must answer while it is read",
            "run the same command again; if it stops here again, copy the file to the server again",
        ) from error

    def _options(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.address).query, keep_blank_values=True))

    def _endpoint(self) -> str | None:
        return self._options().get("endpoint") or os.environ.get("AWS_ENDPOINT_URL")

    def _refuse_options(self) -> None:
        parts = urlsplit(self.address)
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # without what may be secret
        if "@" in parts.netloc or self._options().keys() - (OPTIONS if parts.scheme == "s3" else set()):
            raise InputError(
                f"The address of the orthophoto {place} has a user, a key, or another option after the question mark",
                f"{RULE}, which tables and logs would show; only s3 takes the options endpoint and region",
                "remove it; for a bucket set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
            )
        endpoint = urlsplit(self._options().get("endpoint", "https://"))
        # A region becomes part of the server's name.
        is_region = re.fullmatch(r"[\w-]+", self._options().get("region", "none"), re.ASCII)
        if not (parts.netloc and self.name and is_region and endpoint.scheme in ("http", "https")):
            raise InputError(
                f"The address of an orthophoto is {self.address}",
                f"{RULE}; an endpoint begins with http:// or https://, and a region is a plain name",
                "give the whole address, such as s3://flights/2024-05-01.tif?endpoint=https://s3.example.org",
            )

    def _state_in_bucket(self) -> tuple[int, str | None]:
        from storage.places.objects import Bucket, ObjectPath  # importing the client takes long

        parts, options = urlsplit(self.address), self._options()
        bucket = Bucket(parts.netloc, self._endpoint(), options.get("region"), RETRY_SECONDS)
        return ObjectPath(bucket, PurePosixPath(parts.path.lstrip("/"))).state()[:2]

    def _state_on_server(self) -> tuple[int, str | None]:
        import obstore
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
        from obstore.store import HTTPStore

        folder, _, name = self.address.rpartition("/")
        seconds = timedelta(seconds=RETRY_SECONDS)
        store = HTTPStore(
            folder,
            client_options={"timeout": seconds, "allow_http": True},
            retry_config={"max_retries": 3, "retry_timeout": seconds},
        )
        try:
            found = obstore.head(store, unquote(name))
        except (PermissionDeniedError, UnauthenticatedError):
            raise PermissionError(self.address) from None
        except BaseError as error:
            said = str(error).strip().splitlines()[0]
            raise OSError(f"{self.address} ({said})") from None
        changed = found["last_modified"]
        return found["size"], found["e_tag"] or (str(changed) if changed.timestamp() > 0 else None)


@lru_cache(maxsize=1024)
def _state(address: str, _period: int) -> str:
    return RemoteFile(address).ask()
