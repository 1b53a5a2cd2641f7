"""Define the parameters of training samples, of training, and of a given classifier."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from storage.errors import InputError
from tasks.parameters import Params

EXPORTED = "exported"  # architecture of a torch.export program
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # per channel, of values in 0..1
# What a classifier returns for each image: a logit or a probability of each class, or of the second of two classes.
Outputs = Literal["logits", "probabilities", "one_logit", "one_probability"]


class GivenClassifier(Params):
    """An already trained classifier, used instead of training: torchvision weights or an exported program."""

    path: str = Field(
        description="Path of weights (a state dict or checkpoint of torch.save, or safetensors), or of a torch.export "
        "program (.pt2)"
    )
    architecture: str = Field(
        default="resnet18", description="Name of the torchvision model, or exported for a torch.export program"
    )
    mean: tuple[float, float, float] = Field(
        default=IMAGENET_MEAN,
        description="Mean of each channel that the classifier's inputs are normalised with, for values in 0..1",
    )
    std: tuple[float, float, float] = Field(
        default=IMAGENET_STD,
        description="Standard deviation of each channel that the classifier's inputs are normalised with, for values "
        "in 0..1",
    )
    outputs: Outputs = Field(
        default="logits",
        description="What the classifier returns for each image: logits, or probabilities (after a softmax), of each "
        "class in the campaign's order. With two classes also one_logit (before a sigmoid) or one_probability (after "
        "it): one column for the second class. Weights of a torchvision model give logits or one_logit",
    )

    @model_validator(mode="after")
    def _positive_std(self) -> "GivenClassifier":
        if min(self.std) <= 0:
            raise ValueError(f"std is {list(self.std)}; every standard deviation must be positive; correct it")
        if self.architecture != EXPORTED and self.outputs in ("probabilities", "one_probability"):
            raise ValueError(
                f"outputs is {self.outputs}, but architecture is {self.architecture}; a model of torchvision ends "
                "before softmax and sigmoid; write logits, or one_logit for one output"
            )
        return self

    def facts(self) -> dict[str, Any]:
        """Return everything but the path as JSON values, without `outputs` where these are logits, as in old stores."""
        left_out = {"path", "outputs"} if self.outputs == "logits" else {"path"}
        return self.model_dump(mode="json", exclude=left_out)


class AugmentParams(Params):
    """Parameters of the training samples: how many of each class, and how they are changed."""

    plan: Literal["copies", "weighted_sampling"] = Field(
        default="copies",
        description="How samples are planned: copies takes every image as often as augment.copies says for its class; "
        "weighted_sampling draws as many samples with replacement, with the same expected class shares",
    )
    copies: tuple[int, ...] = Field(
        default=(8, 16),
        description="Number of samples per image of each class, in class order; a single number applies to all classes",
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of the drawn images, their symmetries and their photometric changes"
    )


class TrainParams(Params):
    """Parameters of the training of the classifier."""

    architecture: str = Field(default="resnet18", description="Name of the torchvision model that is trained")
    weights: Literal["none", "imagenet"] = Field(
        default="none", description="Initial weights: none draws them at random, imagenet loads torchvision's"
    )
    epochs: int = Field(default=25, ge=1, le=1000, description="Number of passes over all training samples")
    batch_size: int = Field(
        default=16,
        ge=2,
        le=4096,
        description="Number of samples per training step; unlike runtime.batch_size it changes the result",
    )
    learning_rate: float = Field(
        default=1e-4, gt=0, le=1, description="Learning rate of the Adam optimiser in the first epochs"
    )
    weight_decay: float = Field(default=1e-4, ge=0, le=1, description="Weight decay (L2 penalty) of the Adam optimiser")
    step_epochs: int = Field(
        default=5, ge=1, description="Number of epochs after which the learning rate is multiplied by step_factor"
    )
    step_factor: float = Field(
        default=0.1, gt=0, le=1, description="Factor by which the learning rate changes every step_epochs epochs"
    )
    seed: int = Field(default=0, ge=0, description="Seed of the initial weights and of the order of samples")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Floating-point precision of the layers in training. bfloat16 trains other weights; the optimiser, "
        "stored weights, validation and predictions stay in float32. It is meant for processors with AMX and for GPUs; "
        "`harvest plan` measures both, and training warns where bfloat16 is slower",
    )

    @model_serializer(mode="wrap")
    def _without_usual_precision(self, others: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out float32, so that classifiers and records of versions without this key keep their names."""
        values = others(self)
        return {name: value for name, value in values.items() if (name, value) != ("precision", "float32")}


def check_copies(copies: tuple[int, ...], n_classes: int | None) -> None:
    """Refuse numbers of copies that do not fit the number of classes.

    Parameters
    ----------
    n_classes : number of classes; None where it is not known yet.

    Raises
    ------
    InputError : there is neither one number nor one for each class, or a number is below 1.
    """
    is_one_each = n_classes is None or len(copies) in (1, n_classes)
    if not is_one_each or min(copies, default=0) < 1:
        raise InputError(
            f"augment.copies is {list(copies)}" + (f" for {n_classes} classes" if n_classes else ""),
            "augment.copies must hold one positive number, or one for each class",
            f"give for example copies = {[8] * (n_classes or 1)}",
        )
