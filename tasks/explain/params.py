"""Define the parameters of the saliency methods."""

from typing import Literal

from pydantic import Field, field_validator

from tasks.parameters import Params


class GradcamParams(Params):
    """Parameters of Grad-CAM."""

    layer: str | None = Field(
        default=None,
        description="Name of the layer that Grad-CAM explains; by default the last convolutional stage",
    )


class OcclusionParams(Params):
    """Parameters of occlusion sensitivity; the last two keys apply to the method occlusion_preview only."""

    patch: int = Field(default=11, ge=1, description="Side of the hidden square, in pixels")
    stride: int = Field(
        default=2,
        ge=1,
        description="Distance between neighbouring windows, in pixels; a larger one makes coarser maps, faster",
    )
    score: Literal["probability", "logit"] = Field(
        default="probability", description="Score of the explained class whose loss the map shows"
    )
    preview_step: int = Field(
        default=4,
        ge=2,
        description="Method `occlusion_preview` only: windows along a side of which one is computed exactly",
    )
    preview_refined: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Method `occlusion_preview` only: share of all windows computed exactly besides, where the "
        "gradient is strongest",
    )


class LimeParams(Params):
    """Parameters of LIME: superpixels hidden at random, and a linear regression of the score on what is shown."""

    n_samples: int = Field(
        default=1000,
        ge=2,
        le=100_000,
        description="Number of perturbed copies per image; each costs a forward pass, and more make the map less noisy",
    )
    segments: Literal["quickshift", "slic"] = Field(
        default="quickshift",
        description="Segmentation into superpixels: quickshift as in the lime package, or slic, about 100 per image",
    )
    regressor: Literal["least_squares", "ridge"] = Field(
        default="least_squares",
        description="Regression that gives the weights of superpixels; ridge has alpha 1, the lime package's default",
    )
    seed: int = Field(
        default=0, description="Random seed of segmentation and perturbations, mixed with each image's content"
    )


# Methods whose maps are approximate, which changes the clusters.
APPROXIMATE: tuple[str, ...] = ("occlusion_preview",)


Method = Literal["gradcam", "occlusion", "occlusion_preview", "lime"]


class ExplainParams(Params):
    """Parameters of the saliency maps and their methods."""

    methods: tuple[Method, ...] = Field(
        default=("gradcam",),
        min_length=1,
        description="Saliency methods to run, each with its own clusters and scores; occlusion_preview is approximate",
    )
    explained_class: str = Field(
        default="predicted",
        description="Class that maps explain: predicted, the name of a class, or label (uses ground truth; not valid "
        "for unseen data)",
    )
    gradcam: GradcamParams = GradcamParams()
    occlusion: OcclusionParams = OcclusionParams()
    lime: LimeParams = LimeParams()

    @field_validator("methods")
    @classmethod
    def _once_each(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        if twice := [method for method in dict.fromkeys(methods) if methods.count(method) > 1]:
            raise ValueError(f"{', '.join(twice)} is given more than once; give every method once")
        return methods

    def of_method(self, method: Method) -> Params:
        """Return the parameters of one method."""
        return self.gradcam if method == "gradcam" else self.lime if method == "lime" else self.occlusion
