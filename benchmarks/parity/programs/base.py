"""What an adapter of an official program is, and what several of them share."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from adapt_jax.models.torch_names import OFFICIAL, Layout
from benchmarks.parity.ours import Batch, Sets

Metrics = dict[str, dict[str, np.ndarray]]  # "AUROC", "FPR95" -> "score set" -> fraction


class Program(Protocol):
    """An official program, ready to be called.

    repository: its owner/name. config: our config of the same recipe. schedule: our schedule that
    has the learning rates of the program as it executes. changes: further fields of the config.
    scores: its scores -> our detectors. fpr: our column that is its FPR95. layout: how its state
    dicts name things.
    """

    repository: str
    config: str
    schedule: str
    changes: Mapping[str, Any]
    scores: Mapping[str, str]
    fpr: str
    layout: Layout

    def train(
        self, config, start: Mapping[str, np.ndarray], prototypes, epochs: Sequence, plain: Batch
    ) -> tuple[Any, dict[str, np.ndarray], np.ndarray | None]:
        """Runs the program's training loop -> its network, its record of steps, its prototypes.

        Args:
          config: our config, whose lengths and rates it gets.
          start: the state dict to start from.
          prototypes: the prototypes (P, D) to start from, or None.
          epochs: the `Batch`es of every epoch.
          plain: the training images without augmentation, as one view.
        """

    def evaluate(self, sets: Sets) -> Metrics:
        """Runs the program's evaluation on features; {} where it has none."""

    def transform(self, config) -> Callable[[Any], Any]:
        """The program's augmentation: PIL image -> normalised tensor (3, S, S), or two of them."""


class Defaults:
    """What most programs have in common."""

    layout, changes, scores, fpr = OFFICIAL, {}, {}, "fpr95_idpos_nearest"

    def evaluate(self, sets: Sets) -> Metrics:
        """No evaluation of OOD scores."""
        del sets
        return {}


def narrow(network: Callable, block: type, width: int) -> Any:
    """The program's ResNet-18 with `width` channels in its first stage, where it has 64.

    Args:
      network: the program's class of encoders, called with a block and the blocks per stage.
      block: the program's basic block.
      width: number of channels.
    """
    import torch

    class Narrow(block):
        def __init__(self, in_planes, planes, stride=1):
            super().__init__(in_planes * width // 64, planes * width // 64, stride)

    encoder = network(Narrow, [2, 2, 2, 2])
    encoder.conv1 = torch.nn.Conv2d(3, width, 3, 1, 1, bias=False)
    encoder.bn1 = torch.nn.BatchNorm2d(width)
    return encoder


def load(network, start: Mapping[str, np.ndarray]) -> None:
    """Gives a network the weights of a state dict, all of them."""
    import torch

    tensors = {name: torch.tensor(value) for name, value in start.items()}
    missing, unused = network.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unused:
        raise ValueError(f"the official network lacks {unused[:4]} and we lack {missing[:4]}")


def weights(network) -> dict[str, np.ndarray]:
    """The state dict of a network, as arrays."""
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def outputs(network, layout: Layout, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Features (N, F) and embeddings (N, D) of normalised images (N, S, S, 3), in float32."""
    import torch

    network = network.float().eval()
    found: dict[str, list[np.ndarray]] = {"features": [], "embeddings": []}
    with torch.no_grad():
        for first in range(0, len(pixels), 500):
            rows = torch.tensor(np.moveaxis(pixels[first : first + 500], -1, 1).copy())
            found["features"].append(getattr(network, layout.prefix[:-1])(rows).numpy())
            found["embeddings"].append(network(rows).numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def views(batch: Batch) -> tuple[list, Any]:
    """A batch as the programs' loaders give it: one (B, 3, S, S) per view, and the labels."""
    import torch

    channels_first = np.moveaxis(batch.views, -1, 2)  # (B, V, 3, S, S)
    split = [torch.tensor(channels_first[:, v]) for v in range(channels_first.shape[1])]
    return split, torch.tensor(batch.labels, dtype=torch.int64)


class Augmented:
    """Images (N, S, S, 3) uint8 as the data set of a loader: augmented tensors, and the label."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Callable[[Any], Any]):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i: int):
        return self.transform(Image.fromarray(self.images[i])), int(self.labels[i])


class Recorder:
    """Collects what a training loop computes at every step."""

    def __init__(self):
        self.values: dict[str, list[float]] = {}

    def add(self, name: str, value: Any) -> None:
        """Appends a scalar."""
        self.values.setdefault(name, []).append(float(value))

    def rates(self, optimizer) -> None:
        """Records the rate of every step the optimiser takes."""
        optimizer.register_step_pre_hook(
            lambda opt, *_: self.add("learning_rate", opt.param_groups[0]["lr"])
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """name -> (steps,)"""
        return {name: np.array(values) for name, values in self.values.items()}


def loader(features: np.ndarray, labels: np.ndarray | None = None, batch: int = 500) -> Any:
    """A loader of features in place of images, in order, as (rows, labels) with `targets`."""
    import torch

    targets = np.zeros(len(features), np.int64) if labels is None else labels.astype(np.int64)
    dataset = torch.utils.data.TensorDataset(torch.tensor(features), torch.tensor(targets))
    dataset.targets = targets
    return torch.utils.data.DataLoader(dataset, batch_size=batch)


def scratch() -> tempfile.TemporaryDirectory:
    """A folder for what the programs write."""
    return tempfile.TemporaryDirectory(prefix="parity-")
