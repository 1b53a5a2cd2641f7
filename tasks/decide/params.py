"""Define the parameters of decisions: what share of wrong answers is tolerated, and how surely."""

from typing import Literal

from pydantic import Field

from storage.errors import InputError
from tasks.parameters import Params


class DecideParams(Params):
    """Parameters of decisions. They change which answers are acted on, but no probability."""

    tolerated_error: float = Field(
        default=0.15,
        gt=0,
        lt=0.5,
        description="Tolerated share of wrong answers among those acted on; with a smaller one, more plants are to be "
        "checked by hand",
    )
    confidence: float = Field(
        default=0.9,
        ge=0.5,
        lt=1,
        description="Probability with which the tolerated share is kept, over the choice of validation plants",
    )
    promise: Literal["together", "each"] = Field(
        default="together",
        description="What the tolerated share is about: all answers acted on `together`, or `each` class of answers "
        "(harvest and leave) by itself",
    )
    tolerated_wrong_harvest: float | None = Field(
        default=None,
        gt=0,
        lt=0.5,
        description="Promise `each` only: tolerated share of plants that are not ready among those to harvest; null "
        "takes `tolerated_error`",
    )
    tolerated_wrong_leave: float | None = Field(
        default=None,
        gt=0,
        lt=0.5,
        description="Promise `each` only: tolerated share of ready plants among those to leave; null takes "
        "`tolerated_error`",
    )
    least_novelty: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="Least novelty p-value of a saliency map; images below it, whose maps are unlike all validation "
        "maps, are to be checked",
    )
    max_share_shift: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Largest distance of a date's estimated share of ready plants from the shares on validation dates; "
        "a date above it is outside",
    )

    def tolerated(self, predicted_class: int) -> float:
        """Return the tolerated share of wrong answers of a class by promise `each`; class 1 is ready."""
        own = self.tolerated_wrong_harvest if predicted_class == 1 else self.tolerated_wrong_leave
        return self.tolerated_error if own is None else own

    def with_tolerated_error(self, share: float) -> "DecideParams":
        """Return these parameters with another tolerated share of wrong answers, 0..1.

        Raises
        ------
        InputError : both classes have tolerated shares of their own, so that no decision would change.
        """
        own = (self.tolerated_wrong_harvest, self.tolerated_wrong_leave)
        if self.promise == "each" and None not in own:
            raise InputError(
                f"The campaign tolerates {own[0]:g} wrong answers among plants to harvest, and {own[1]:g} among "
                "those to leave",
                "Another tolerated share of all answers needs a class without a share of its own",
                "change decide.tolerated_wrong_harvest and decide.tolerated_wrong_leave in the campaign's file, and "
                "run it again",
            )
        return self.model_copy(update={"tolerated_error": share})
