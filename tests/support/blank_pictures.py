"""Pictures of one pixel in place of drawn figures, for tests of what a page says."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, BinaryIO
from zlib import crc32

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image


def print_blank(canvas: FigureCanvasAgg, file: BinaryIO, **_: Any) -> None:
    """Write one pixel, whose colour tells figures with other words apart."""
    words = " ".join(text.get_text() for text in canvas.figure.findobj(Text))
    Image.new("RGB", (1, 1), f"#{crc32(words.encode()) & 0xFFFFFF:06x}").save(file, "PNG")


@contextmanager
def blank_figures() -> Generator[None]:
    """Write every figure of this process as one pixel: drawing takes most of a report's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureCanvasAgg, "print_png", print_blank)
        yield
