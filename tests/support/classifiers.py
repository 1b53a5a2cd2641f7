"""Small classifiers, and the files that people give in their place."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tasks.classify.architectures import build_model

ARCHITECTURE = "shufflenet_v2_x0_5"  # the smallest of torchvision, 0.3 million weights
SIZE = 32  # pixels


class Tiny(nn.Module):
    """Convolution, batch normalisation, dropout and linear layer; returns `last` of the logits, or these."""

    def __init__(self, n_outputs: int = 2, dropout: float = 0.0, last: Any = None) -> None:
        super().__init__()
        self.kernel, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(4, n_outputs)
        self.last = last

    def forward(self, images: torch.Tensor) -> Any:
        """Classify images (n, 3, h, w)."""
        logits = self.head(self.dropout(torch.relu(self.norm(self.kernel(images))).mean((2, 3))))
        return logits if self.last is None else self.last(logits)


def tiny(n_outputs: int = 2, dropout: float = 0.0, last: Any = None) -> Tiny:
    """Make a tiny classifier in evaluation mode, whose answers differ between images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Tiny(n_outputs, dropout, last)
        nn.init.normal_(model.norm.running_mean)  # type: ignore[arg-type]
        nn.init.normal_(model.head.weight, std=2)
    return model.eval()


def torchvision_model(seed: int = 0, n_classes: int = 2) -> nn.Module:
    """Build a small torchvision model whose normalisations have statistics."""
    model = build_model(ARCHITECTURE, n_classes, "none", seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
    return model.eval()


def unsettled(model: nn.Module) -> nn.Module:
    """Give normalisations something to do, in evaluation mode: folding the identity would prove nothing."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.bias, -0.2, 0.2, generator)
    return model.eval()


def saved(thing: Any, **options: Any) -> bytes:
    """Return the bytes that torch.save writes of a thing."""
    buffer = io.BytesIO()
    torch.save(thing, buffer, **options)
    return buffer.getvalue()


def program(model: nn.Module, n: int = 2, most: int | None = 64, size: int = SIZE, dtype: Any = torch.float32) -> bytes:
    """Return a torch.export program that takes 1 to `most` images, or exactly `n` where `most` is None."""
    sizes = None if most is None else ({0: torch.export.Dim("images", min=1, max=most)},)
    exported = torch.export.export(model, (torch.zeros(n, 3, size, size, dtype=dtype),), dynamic_shapes=sizes)
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def safetensors(tensors: dict[str, torch.Tensor]) -> bytes:
    """Return tensors in the safetensors format, written from its description."""
    codes = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    values = b""
    for name, tensor in tensors.items():
        content = bytes(tensor.contiguous().flatten().view(torch.uint8).numpy()) if tensor.numel() else b""
        offsets = [len(values), len(values) + len(content)]
        header[name] = {"dtype": codes[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        values += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + values


def written(folder: Path, content: bytes, name: str = "classifier.pt") -> str:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(content)
    return str(path)
