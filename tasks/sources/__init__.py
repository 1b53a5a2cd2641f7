"""Sources of images and labels: the released layouts, plain folders, and a synthetic season."""

from typing import Annotated

from pydantic import Field

from tasks.sources.fiftyone.source import FiftyOneSource
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.source import SyntheticSource

AnySource = Annotated[GrowliFlowerSource | FiftyOneSource | FolderSource | SyntheticSource, Field(discriminator="kind")]
