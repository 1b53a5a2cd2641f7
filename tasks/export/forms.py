"""Choose what people fill in about a plant, by the classes. Pure functions."""

from collections.abc import Sequence

from storage.published.forms import CHECKED_CLASS, CHECKED_READY, NO, YES, Form
from tasks.decide.decisions import is_about_harvest


def form_of(classes: Sequence[str]) -> Form:
    """Return what people fill in: whether a plant is ready, or with other classes than not ready and ready, its class.

    Parameters
    ----------
    classes : class names by index.
    """
    if is_about_harvest(classes):
        not_ready, ready = classes
        return Form(CHECKED_READY, {YES: ready, NO: not_ready})
    return Form(CHECKED_CLASS, {name: name for name in classes})
