"""The peers' side of `benchmarks/cpu_peers.py`, for the Python that has PyTorch: tasks in turns.

    python benchmarks/cpu_peers_pytorch.py FOLDER

Reads arrays from FOLDER/arrays.npz, prints the tasks it knows, then reads the name of a task from
each line of its input and prints wall and CPU seconds of one go. Results stay in FOLDER/TASK.npy.
"""

import json
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

folder = pathlib.Path(sys.argv[1])
with np.load(folder / "arrays.npz") as file:
    arrays = {name: torch.from_numpy(file[name]) for name in file.files}
K = int(arrays["k"])


@torch.no_grad()
def knn():
    """The k-th squared distance of unit rows, from the product, 250 queries at a time."""
    bank = F.normalize(arrays["bank"], dim=1)
    best = [
        (F.normalize(part, dim=1) @ bank.T).topk(K, dim=1).values[:, -1]
        for part in arrays["queries"].split(250)
    ]
    return 2 * torch.cat(best) - 2


def knn_faiss():
    bank, queries = (F.normalize(arrays[name], dim=1).numpy() for name in ("bank", "queries"))
    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(bank)
    return torch.from_numpy(-index.search(queries, K)[0][:, -1])


@torch.no_grad()
def mahalanobis():
    """Whitened once, then distances to the means through a product (torch.cdist)."""
    rows = F.normalize(arrays["queries"], dim=1) - arrays["center"]
    return -torch.cdist(rows @ arrays["whiten"], arrays["means"]).square().min(dim=1).values


@torch.no_grad()
def neglabel():
    """Every group at once: sigmoid of the difference of two log-sum-exps."""
    logits = 100 * (arrays["images"] @ arrays["texts"].T)
    labels = int(arrays["labels"])
    own = logits[:, :labels].logsumexp(dim=1, keepdim=True)
    others = logits[:, labels:][:, arrays["groups"].long()].logsumexp(dim=2)
    return torch.sigmoid(own - others).mean(dim=1)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        """(N, C, H, W) -> (N, outputs, Ho, Wo)."""
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(inner + self.shortcut(x))


class Network(nn.Module):
    """ResNet-18 with CIFAR's stem and a classifier."""

    def __init__(self, width: int):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        inputs = width
        for stage in range(4):
            for i in range(2):
                outputs = width * 2**stage
                layers.append(Block(inputs, outputs, 2 if stage and not i else 1))
                inputs = outputs
        self.encoder, self.head = nn.Sequential(*layers), nn.Linear(inputs, 10)

    def forward(self, x):
        """(N, 3, H, W) -> (N, 10)."""
        return self.head(self.encoder(x).mean((2, 3)))


def training(width: int):
    """Forward, cross-entropy, backward and SGD with momentum, channels_last, in float32."""
    torch.manual_seed(0)
    images = arrays["pixels"].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    network = Network(width).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(network(images), arrays["classes"].long())
        loss.backward()
        optimizer.step()
        return loss.detach()[None]

    return step


TASKS = {"knn": knn, "mahalanobis": mahalanobis, "neglabel": neglabel}
TASKS |= {f"training{width}": training(width) for width in arrays["widths"].tolist()}
try:
    import faiss

    TASKS["knn_faiss"] = knn_faiss
except ImportError:
    pass

print(json.dumps({"tasks": list(TASKS), "versions": f"torch {torch.__version__}"}), flush=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    found = TASKS[line.strip()]()
    took = time.perf_counter() - wall, time.process_time() - cpu
    np.save(folder / f"{line.strip()}.npy", found.numpy())
    print(json.dumps(took), flush=True)
