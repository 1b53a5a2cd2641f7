"""Where images and labels come from: the released layouts, plain folders, and a synthetic season."""

from typing import Annotated

from pydantic import Field

from tasks.sources.fiftyone import FiftyOneSource
from tasks.sources.folder import FolderSource
from tasks.sources.growliflower import GrowliFlowerSource
from tasks.sources.synthetic import SyntheticSource

AnySource = Annotated[GrowliFlowerSource | FiftyOneSource | FolderSource | SyntheticSource, Field(discriminator="kind")]
