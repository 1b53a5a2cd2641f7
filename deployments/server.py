"""Start Prefect's server without the pages that describe its API to everybody: `python -m deployments.server`.

`/docs`, `/redoc` and `/openapi.json` ask for no password and name every route and field. Prefect has no setting that
turns them off.
"""

import sys
from functools import partial

from fastapi import FastAPI
from prefect.cli import app as prefect
from prefect.server.api import server


def main() -> None:
    """Run `prefect server start` in this process."""
    described = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    server.FastAPI = partial(FastAPI, **described)  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
    sys.argv[:] = ["prefect", "server", "start"]
    prefect()


if __name__ == "__main__":
    main()
