"""Define the limits beyond which a date is outside what was validated."""

from pydantic import Field

from tasks.parameters import Params

NOVEL = 0.05  # p-value below which a map is novel


class DriftParams(Params):
    """Limits beyond which a date is outside what was validated."""

    max_shift: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Largest total variation distance (0..1) between cluster shares of a date and of validation; a "
        "date above it is outside",
    )
    max_answer_shift: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Largest total variation distance (0..1) between the shares of the classifier's answers on a date "
        "and on validation; a date above it is outside",
    )
    max_novel_share: float = Field(
        default=0.15,
        ge=NOVEL,
        le=1,
        description="Largest share of novel maps of a date, about 0.05 by chance; a date above it is outside",
    )
    significance: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Significance level of each drift test; a date is outside only if a test's p-value is lower",
    )
