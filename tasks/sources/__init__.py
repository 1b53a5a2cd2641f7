"""Sources of images and labels: the released layouts, orthophotos of any field, plain folders, a synthetic season."""

from typing import Annotated

from pydantic import Field

from tasks.sources.field.source import FieldSource
from tasks.sources.fiftyone.source import FiftyOneSource
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.source import SyntheticSource

AnySource = Annotated[
    GrowliFlowerSource | FiftyOneSource | FieldSource | FolderSource | SyntheticSource, Field(discriminator="kind")
]
