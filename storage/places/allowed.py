"""Confine the runs of a service to the places that its operator allows.

Whoever may start runs gives their parameters, and a run can read and write what its worker's user can. So a worker of
the service has the environment variables below. Where they are not set, as at a terminal, every place may be used.
Paths are compared as they are on the disk, after links and `..`, and before anything looks at the place.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel

from storage.errors import ArtifactError, InputError
from storage.places.addresses import parse_address
from storage.places.files import Place

STORE = "HARVEST_STORE"  # the store of the service, which every run may use
STORES = "HARVEST_STORES"  # other stores, separated by commas
SOURCES = "HARVEST_SOURCES"  # folders and addresses of images, tables and classifiers, separated by commas
PROGRAMS = "HARVEST_PROGRAMS"  # folder of the torch.export programs that may be run
SCHEDULERS = "HARVEST_SCHEDULERS"  # addresses of Dask's schedulers, separated by commas
PORTS = {"http": 80, "https": 443}  # ports that addresses without one mean


def refuse_other_store(root: Place) -> None:
    """Refuse a store that this process may not use.

    Raises
    ------
    InputError : `HARVEST_STORES` is set, and neither it nor `HARVEST_STORE` names this store.
    """
    if STORES not in os.environ:
        return
    allowed = [one for one in (os.environ.get(STORE, ""), *_listed(STORES)) if one]
    if not any(_is_store(root, one) for one in allowed):
        raise InputError(
            f"The store {root} is not one of this service",
            f"A run of the service may use the store of {STORE} and those of {STORES}: {', '.join(allowed) or 'none'}",
            f"give one of these, or have the operator add this one to {STORES}",
        )


def _is_store(root: Place, allowed: str) -> bool:
    if isinstance(root, Path) or "://" not in allowed:
        return isinstance(root, Path) and "://" not in allowed and _real(str(root)) == _real(allowed)
    other = parse_address(allowed)
    here, there = (_server(place.bucket.endpoint or "") for place in (root, other))
    return (root.bucket.name, root.key, here) == (other.bucket.name, other.key, there)


def refuse_way_out(place: Path, root: Path) -> None:
    """Refuse a place below the folder of a store from which links lead out of it.

    Raises
    ------
    ArtifactError : the place leads out of the store.
    """
    if _is_straight(place, root):
        return
    real = Path(os.path.realpath(place))
    if not real.is_relative_to(os.path.realpath(root)):
        raise ArtifactError(
            f"{place} leads to {real}; what is in a store lies below its folder {root}; find out who made the link "
            "and remove it; a store on another disk is linked as a whole"
        )


def _is_straight(place: Path, root: Path) -> bool:
    """Return whether a place lies below a folder without a link between, so that it leads nowhere else.

    `os.path.realpath` would also resolve the folders above, and takes several times as long.
    """
    path, names = str(root), place.parts[len(root.parts) :]
    if not place.is_relative_to(root) or ".." in names:
        return False
    for name in names:
        path = f"{path}/{name}"
        if os.path.islink(path):  # noqa: PTH114 -- making a path takes longer than the call
            return False
    return True


def refuse_other_places(**given: BaseModel | None) -> None:
    """Refuse parameters that name files or addresses which this process may not read.

    Every text among the parameters is looked at, so that a new key is confined too.

    Parameters
    ----------
    given : parameters by the name of their table, such as `source`. Texts are relative to the table's `root`, if it has
        one; otherwise only `path` and absolute paths are places.

    Raises
    ------
    InputError : `HARVEST_SOURCES` is set, and neither it nor `HARVEST_PROGRAMS` names the place or a folder above it.
    """
    if SOURCES not in os.environ:
        return
    allowed = [one for one in (*_listed(SOURCES), os.environ.get(PROGRAMS, "")) if one]
    for table, params in given.items():
        values: dict[str, Any] = {} if params is None else params.model_dump(mode="json")
        root = str(Path.cwd() / _expanded(values["root"])) if "root" in values else ""
        # The root first: where it is not allowed, nothing relative to it is, and it is what the message names.
        for key, text in sorted(_texts(values, table), key=lambda one: one[0] != f"{table}.root"):
            place = _place(key, text, root)
            if place and not any(_is_below(place, one) for one in allowed):
                raise InputError(
                    f"{key} leads to {_shown(place)}",
                    f"A run of the service may read what lies below the places of {SOURCES}: {', '.join(allowed)}",
                    f"copy it there, or have the operator add its folder to {SOURCES}",
                )


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, f"{key}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, key)


def _place(key: str, text: str, root: str) -> str:
    """Return the path or address that a text may be read from; empty if it is none."""
    if "://" in text:
        return text
    if key.count(".") == 1 and key.endswith(".root"):
        return root
    is_path = root or key.endswith(".path") or Path(text).is_absolute()
    return str(Path(root, text)) if is_path else ""


def _is_below(place: str, allowed: str) -> bool:
    """Return whether a path or address is an allowed one, or lies below it."""
    if "://" not in place or "://" not in allowed:
        is_local = "://" not in place and "://" not in allowed and "\0" not in place  # which no path may hold
        return is_local and Path(_real(place)).is_relative_to(_real(allowed))
    (server, path), (other, prefix) = _parts(place), _parts(allowed)
    return bool(server) and server == other and f"{path}/".startswith(f"{prefix.rstrip('/')}/")


def _real(path: str) -> str:
    return path if "\0" in path else os.path.realpath(path)


def _parts(address: str) -> tuple[str, str]:
    """Return the server of an address, with bucket and endpoint, and the path on it.

    Both are empty for addresses that two programs may understand differently.
    """
    try:
        parts = urlsplit(address)
        options = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return "", ""
    path, names = unquote(parts.path), [name for name, _ in options]
    is_odd = bool(re.search(r"[\x00-\x1f\x7f\\#]", unquote(address))) or "@" in parts.netloc
    if is_odd or not parts.netloc or ".." in unquote(path).split("/") or len(set(names)) < len(names):
        return "", ""
    if parts.scheme == "s3":
        return f"s3://{parts.netloc}?{_server(dict(options).get('endpoint', ''))}", path
    return _server(f"{parts.scheme}://{parts.netloc}"), path


def _server(address: str) -> str:
    """Return scheme, host and port of an address in lower case, and its path."""
    try:
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme, "")
    except ValueError:
        return address
    return f"{parts.scheme}://{parts.hostname or ''}:{port}{parts.path.rstrip('/')}" if address else ""


def refuse_other_scheduler(address: str) -> None:
    """Refuse a scheduler of Dask that this process may not use, because what a scheduler sends can run code.

    Raises
    ------
    InputError : `HARVEST_SCHEDULERS` is set, and does not name this address.
    """
    if SCHEDULERS in os.environ and address not in _listed(SCHEDULERS):
        raise InputError(
            f"The Dask scheduler {address} is not one of this service",
            f"What a scheduler sends can run any code, so a run of the service may use only those of {SCHEDULERS}",
            "have the operator add it, or set runtime.task_runner = threads",
        )


def _listed(name: str) -> list[str]:
    """Return the items of a setting."""
    return [_expanded(one.strip()) for one in os.environ.get(name, "").split(",") if one.strip()]


def _expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 -- that of pathlib fails where there is no such user


def _shown(place: str) -> str:
    """Return a place without user, password and options, which may be secret."""
    return re.sub(r"//[^/]*@", "//", place.partition("?")[0]) if "://" in place else _real(place).replace("\0", "\\0")
