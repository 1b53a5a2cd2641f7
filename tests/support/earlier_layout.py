"""Published folders as earlier versions of the program wrote them: parts with manifests beside them."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from storage.artifacts import ArtifactRef
from storage.places.files import Place, write_atomically


def write_earlier(folder: Place, part: str, sources: Sequence[ArtifactRef], files: Mapping[str, bytes]) -> None:
    """Write the files and the manifest of a part."""
    for name, content in files.items():
        write_atomically(folder / name, content)
    said = {
        "sources": [{"kind": ref.kind, "digest": ref.digest} for ref in sources],
        "files": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        },
    }
    write_atomically(folder / ("manifest.json" if part == "part-0" else f"{part}.json"), json.dumps(said).encode())
