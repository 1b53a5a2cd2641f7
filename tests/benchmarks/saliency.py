"""Compare the saliency methods with captum and the lime package: ResNet18, 256x256 pixels, one core."""

import contextlib
import io
import math
from functools import cache

import numpy as np
import torch
from captum.attr import LayerGradCam
from captum.attr import Occlusion as CaptumOcclusion
from lime.lime_image import LimeImageExplainer
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from tasks.classify.model import Classifier, freeze
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.explain import lime
from tasks.explain.gradcam import GradCam, GradcamParams
from tasks.explain.lime import LimeParams
from tasks.explain.occlusion import Occlusion, OcclusionParams, window_corners
from tasks.parameters import Runtime
from tests.benchmarks.measure import REPEATS, Row, Times, alternating, compare, seconds
from tests.support.maps import lime_maps
from tests.support.networks import fitted_to_noise

SIZE = 256
RUNTIME = Runtime(device="cpu")
FLOP = 4.74e9  # of a pass of ResNet18 at this size
ONE = np.asarray([1])


@cache
def classifier(device: str = "cpu") -> Classifier:
    """Make a classifier that costs as much as a trained one.

    The last layer is scaled up. Otherwise every probability would be near one half, and there would be nothing to
    explain.
    """
    model = fitted_to_noise("resnet18", seed=0, n=4, side=128)
    with torch.no_grad():
        model.get_submodule("fc").weight *= 10  # type: ignore[operator]
    return freeze(model, ("not_ready", "ready"), IMAGENET_MEAN, IMAGENET_STD, torch.device(device))


def images(n: int) -> NDArray[np.float32]:
    """Draw blobs on noise (n, 3, 256, 256) in 0..1, because noise alone has no superpixels."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:SIZE, :SIZE]
    centres, widths = rng.random((n, 12, 2, 1, 1)) * SIZE, rng.uniform(10, 40, (n, 12, 1, 1))
    blobs = np.exp(-((rows - centres[:, :, 0]) ** 2 + (cols - centres[:, :, 1]) ** 2) / (2 * widths**2))
    colours = rng.random((n, 3, 12))
    scene = np.clip(np.einsum("nkhw,nck->nchw", blobs, colours), 0, 1)
    return (0.9 * scene + 0.1 * rng.random((n, 3, SIZE, SIZE))).astype(np.float32)


def spread_corners(n: int) -> torch.Tensor:
    """Return the corners (n, 2) of windows of an occlusion map that are spread from the first to the last."""
    corners = window_corners(SIZE, SIZE, OcclusionParams()).flatten(0, 1)
    return corners[torch.linspace(0, len(corners) - 1, n).round().long()]


def share(found: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Return the largest difference as a share of the expected range."""
    return float(np.abs(found - expected).max() / np.ptp(expected))


def occlusion_rows(turns: int = REPEATS) -> list[Row]:
    """Compare a window of occlusion maps with captum, in turns, and the whole map with this core's peak.

    A whole map takes captum a quarter of an hour. So both explain every third row and column of the map's windows: as
    in the whole map, they lie differently to the strides of the network, on which it depends how much a window changes.
    Captum adds windows that are clipped at the border, each of which it computes as any other.
    """
    image, whole = images(1), OcclusionParams(score="logit")
    params = whole.model_copy(update={"stride": 3 * whole.stride})
    inputs, method = classifier().normalised(image), CaptumOcclusion(classifier().model)

    def captum(per_eval: int, step: int = params.stride) -> torch.Tensor:
        window = (3, max(params.patch, step), max(params.patch, step))  # captum wants windows that touch
        with torch.no_grad():
            return method.attribute(inputs, window, (3, step, step), target=1, perturbations_per_eval=per_eval)

    tuned = min((1, 2, 4, 8, 16), key=lambda per_eval: seconds(lambda: captum(per_eval, 24), 2))
    ours = Occlusion(classifier(), params, RUNTIME)  # prepared once per task, as in the explain stage
    found, expected = ours(image, ONE), captum(tuned)[0, 0].numpy()
    mine, theirs = alternating(lambda: ours(image, ONE), lambda: captum(tuned), turns)
    n = math.prod(window_corners(SIZE, SIZE, params).shape[:2])
    n_theirs = len(range(0, SIZE - params.patch + params.stride, params.stride)) ** 2
    n_whole = math.prod(window_corners(SIZE, SIZE, whole).shape[:2])
    every = Occlusion(classifier(), whole, RUNTIME)
    once = seconds(lambda: every(image, ONE), 1, warm_up=False)
    return [
        compare(
            f"a window of an occlusion map, mean of {n:,}",
            [time / n for time in mine],
            f"captum Occlusion, perturbations_per_eval {tuned}, mean of {n_theirs:,}",
            [time / n_theirs for time in theirs],
            difference_from_captum(found[0], expected, params),
        ),
        at_the_peak(f"whole occlusion map, {n_whole:,} windows", once, n_whole),
    ]


def at_the_peak(name: str, ours: Times, n: int) -> Row:
    """Compare with the least time of n whole passes by direct convolutions on this core."""
    peak = f"{n:,} whole passes at this core's convolution peak, {convolution_peak() / 1e9:.0f} GFLOP/s"
    return compare(name, ours, peak, FLOP * n / convolution_peak())


def difference_from_captum(ours: NDArray[np.float32], theirs: NDArray[np.float32], params: OcclusionParams) -> float:
    """Return the largest difference from captum's map, as a share of its range.

    Captum averages over all windows that cover a pixel. It adds a clipped window at the far borders, which are left
    out here.
    """
    total, n_covering = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE))
    corners = window_corners(SIZE, SIZE, params).flatten(0, 1).tolist()
    for (row, col), value in zip(corners, ours.ravel().tolist(), strict=True):
        where = np.s_[row : row + params.patch, col : col + params.patch]
        total[where] += value
        n_covering[where] += 1
    extra = len(range(0, SIZE - params.patch + params.stride, params.stride)) - 1
    inside = np.s_[: extra * params.stride, : extra * params.stride]
    return share(total[inside] / n_covering[inside], theirs[inside])


@cache
def convolution_peak() -> float:
    """Measure FLOP/s of a 3x3 convolution of convenient size: batch 16, 256 channels, 16x16 positions."""
    convolution = torch.nn.Conv2d(256, 256, 3, padding=1).to(memory_format=torch.channels_last)
    inputs = torch.randn(16, 256, 16, 16).to(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * 16 * 256 * 256 * 256 * 9 / seconds(lambda: convolution(inputs), 10)


def gradcam_rows(n: int = 32) -> list[Row]:
    """Compare Grad-CAM maps of 32 images with captum, one image at a time as in its tutorials, and in batches."""
    scene, explained = images(n), np.arange(n) % 2
    inputs, target = classifier().normalised(scene), torch.from_numpy(explained)
    method = LayerGradCam(classifier().model, classifier().model.get_submodule("layer4"))

    def captum(size: int) -> NDArray[np.float32]:
        parts = zip(inputs.split(size), target.split(size), strict=True)
        maps = [method.attribute(x.requires_grad_(True), target=c, relu_attributions=True) for x, c in parts]
        return torch.cat(maps)[:, 0].detach().numpy()  # type: ignore[arg-type]

    ours = GradCam(classifier(), GradcamParams(), RUNTIME)  # prepared once per task, as in the explain stage
    difference = share(ours(scene, explained), captum(8))
    rows: list[Row] = []
    for size in (1, 16):
        mine, theirs = alternating(lambda: ours(scene, explained), lambda size=size: captum(size))
        rows.append(compare(f"Grad-CAM, {n} maps", mine, f"captum LayerGradCam, batches of {size}", theirs, difference))
    return [*rows, at_the_peak(f"Grad-CAM, {n} maps", rows[-1].ours_s, n)]


def lime_rows() -> list[Row]:
    """Compare one LIME map of 1,000 samples with the lime package, with the same superpixels and samples."""
    scene, params = images(1), LimeParams()
    seed = lime.seed_of(scene[0], params.seed)
    segments = lime.superpixels(scene[0], params.segments, seed)
    ours: list[NDArray[np.float32]] = []
    weights: list[dict[int, float]] = []

    def package() -> None:
        explainer = LimeImageExplainer(random_state=np.random.RandomState(seed))
        pixels = scene[0].transpose(1, 2, 0).astype(np.float64)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            explanation = explainer.explain_instance(
                pixels,
                probabilities,
                labels=(1,),
                top_labels=None,  # pyright: ignore[reportArgumentType] as its documentation has it
                num_samples=params.n_samples,
                segmentation_fn=lambda _: lime.superpixels(scene[0], params.segments, seed),
                model_regressor=LinearRegression(),
                random_seed=seed,  # without it, a first random draw would shift the samples
            )
        weights.append(dict(explanation.local_exp[1]))

    mine, theirs = alternating(lambda: ours.append(lime_maps(classifier(), scene, ONE, params, RUNTIME)), package)
    expected = np.asarray([weights[0][segment] for segment in range(int(segments.max()) + 1)])[segments]
    name = f"LIME map, 1,000 samples of {int(segments.max()) + 1} superpixels"
    difference = share(ours[0][0], expected)
    return [
        compare(name, mine, "LimeImageExplainer", theirs, difference),
        at_the_peak("LIME map", mine, params.n_samples),
    ]


def probabilities(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (n, 2) of images (n, h, w, 3), as the lime package requires."""
    with torch.no_grad():
        inputs = classifier().normalised(np.asarray(pixels, np.float32).transpose(0, 3, 1, 2))
        return torch.softmax(classifier().model(inputs).double(), dim=1).numpy()
