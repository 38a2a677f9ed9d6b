"""The same tasks in PyTorch, tuned as its users would, in a process of their own.

    python -m benchmarks.accelerator.peer TASK '{"argument": ...}'

Prints a line of JSON when it is ready, then reads how many steps to take and prints the seconds of
each, until its input ends. Convolutions are channels_last, the network is in bfloat16 (autocast),
and of eager PyTorch and torch.compile whichever is faster is measured.
"""

import functools
import json
import sys
import time

import numpy as np
from PIL import Image

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except Exception as e:  # such as a missing library of CUDA's
    print(json.dumps({"failed": f"{type(e).__name__}: {e}"[:300]}), flush=True)
    raise SystemExit(1) from e

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        conv = functools.partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
        self.first = nn.Sequential(conv(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs))
        self.second = nn.Sequential(conv(outputs, outputs), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            small = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(small, nn.BatchNorm2d(outputs))

    def forward(self, x):
        """(N, C, H, W) -> (N, outputs, Ho, Wo)."""
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class Network(nn.Module):
    """A ResNet with CIFAR's stem and a projection head to unit rows of 128."""

    def __init__(self, blocks, width: int):
        super().__init__()
        stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        layers = [stem, nn.BatchNorm2d(width), nn.ReLU()]
        inputs = width
        for stage, count in enumerate(blocks):
            for i in range(count):
                outputs = width * 2**stage
                layers.append(Block(inputs, outputs, 2 if stage and not i else 1))
                inputs = outputs
        self.encoder = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(), nn.Linear(inputs, 128))

    def forward(self, x):
        """(N, 3, S, S) -> (N, 128)."""
        with torch.autocast(DEVICE.type, torch.bfloat16):
            features = self.encoder(x)
        return F.normalize(self.head(features.float().mean((2, 3))), dim=1)


def balanced(similarities, epsilon: float, iterations: int):
    """Sinkhorn's assignment (N, P) in log space."""
    samples, prototypes = similarities.shape
    log_q = similarities / epsilon
    log_q = log_q - torch.logsumexp(log_q.flatten(), 0)
    for _ in range(iterations):
        log_q = log_q - torch.logsumexp(log_q, 0, keepdim=True) - np.log(prototypes)
        log_q = log_q - torch.logsumexp(log_q, 1, keepdim=True) - np.log(samples)
    return torch.exp(log_q + np.log(samples))


def adapt_loss(features, labels, protos, params):
    """ADAPT's loss of features (N, D) and the moved prototypes (K, C, D)."""
    per_class, classes, dim = protos.shape
    sinkhorn = params["sinkhorn_epsilon"], params["sinkhorn_iterations"]
    own = F.one_hot(labels, classes).to(features.dtype)  # (N, C)
    with torch.no_grad():
        raw = features @ protos.reshape(-1, dim).T
        shape = (len(features), per_class, classes)
        before = (balanced(raw, *sinkhorn).reshape(shape) * own[:, None]).sum(2)
        kept = torch.ones_like(before, dtype=torch.bool)
        if 0 < params["top_k"] < per_class:
            chosen = before.topk(params["top_k"], 1).indices
            kept = torch.zeros_like(kept).scatter(1, chosen, True)
        weights = F.normalize(torch.where(kept, before, 0.0), p=1, dim=1)
    update = torch.einsum("nk,nc,nd->kcd", weights, own, features)
    momentum = params["proto_momentum"]
    new = F.normalize(momentum * protos + (1 - momentum) * update, dim=2)
    fixed = new.detach()
    logits = features @ fixed.reshape(-1, dim).T
    with torch.no_grad():
        after = (balanced(logits, *sinkhorn).reshape(shape) * own[:, None]).sum(2)
        positives = F.normalize(torch.where(kept, after, 0.0), p=1, dim=1)
    scores = F.softplus(logits.reshape(shape) / params["temperature"])
    positive = (positives * (scores * own[:, None]).sum(2)).sum(1)
    hardness = (scores.detach() + 1e-10) ** params["beta"]
    weighted = torch.where(own[:, None] > 0, scores, hardness * scores)
    sample = (torch.logsumexp(weighted.flatten(1), 1) - positive).mean()
    with torch.no_grad():
        alignment = F.cosine_similarity(update, protos, dim=2).mean()
        tau = 0.4 * (1.5 - alignment)
    flat = new.reshape(-1, dim)
    contrast = flat @ flat.T / tau
    other = ~torch.eye(len(flat), dtype=torch.bool, device=flat.device)
    index = torch.arange(len(flat), device=flat.device) % classes
    same = (index[:, None] == index[None]) & other
    everything = torch.logsumexp(contrast.masked_fill(~other, -torch.inf), 1)
    positive = torch.where(same, contrast, 0.0).sum(1) / max(per_class - 1, 1)
    return sample + params["lambda_pcon"] * (everything - positive).mean(), fixed


def train(given) -> tuple:
    """A step on a batch that is augmented already: network, loss, optimiser."""
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    params, classes, count = given["params"], given["classes"], given["images"]
    protos = F.normalize(torch.rand(params["cache_size"], classes, 128), dim=2).to(DEVICE)
    images = torch.randn(count, 3, given["size"], given["size"]).to(DEVICE)
    images = images.to(memory_format=torch.channels_last)
    labels = (torch.arange(count) % classes).to(DEVICE)
    model = Network(given["blocks"], given["width"]).to(DEVICE)
    model = model.to(memory_format=torch.channels_last)
    rate, momentum, decay, nesterov = given["rate"]
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01 * rate, momentum, 0.0, decay, nesterov, fused=DEVICE.type == "cuda"
    )

    def loss_of(features, protos):
        return adapt_loss(features, labels, protos, params)

    state = {"protos": protos}

    def stepper(network, loss_of):
        def step():
            optimizer.zero_grad(set_to_none=True)
            loss, new = loss_of(network(images), state["protos"])
            loss.backward()
            optimizer.step()
            state["protos"] = new.clone()

        return step

    embeddings = F.normalize(torch.randn(1, count, 128), dim=2)
    value, _ = adapt_loss(embeddings[0].to(DEVICE), labels, protos, params)
    np.savez(
        given["file"],
        embeddings=embeddings.numpy(),
        labels=labels.cpu().numpy().astype(np.int32),
        prototypes=protos.cpu().numpy(),
    )
    ways = {"eager": stepper(model, loss_of)}
    if not given["rehearse"]:
        ways["torch.compile"] = stepper(torch.compile(model), torch.compile(loss_of))
    return ways, {"loss": float(value), "file": given["file"]}


def knn(given) -> tuple:
    """The k-th largest product of queries with a bank, block by block, in float32."""
    torch.manual_seed(0)
    rows, width, k, block = given["rows"], given["width"], given["k"], given["block"]
    bank = F.normalize(torch.randn(rows, width, device=DEVICE), dim=1)
    queries = F.normalize(torch.randn(given["queries"], width, device=DEVICE), dim=1)

    @torch.no_grad()
    def step():
        best = None
        for start in range(0, rows, block):
            near = queries @ bank[start : start + block].T
            best = near if best is None else torch.cat([best, near], 1)
            best = best.topk(min(k, best.shape[1]), 1).values
        return 2 - 2 * best[:, -1]

    return {"eager": step}, {}


class Tower(nn.Module):
    """CLIP's ViT image tower, with PyTorch's own attention."""

    def __init__(self, image_size: int, patch: int, width: int, layers: int, embed: int):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.first = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.zeros(1 + (image_size // patch) ** 2, width))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        block = nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, 0.0, F.gelu, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.projection = nn.Linear(width, embed, bias=False)

    def forward(self, x):
        """(N, 3, S, S) -> (N, embed)."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        first = self.first.expand(len(x), 1, -1)
        x = self.before(torch.cat([first, x], 1) + self.positions)
        return self.projection(self.after(self.blocks(x)[:, 0]))


def clip(given) -> tuple:
    """Embeds a batch of images in bfloat16."""
    torch.manual_seed(0)
    size = given["image_size"]
    tower = Tower(size, given["patch"], given["width"], given["layers"], given["embed"])
    tower = tower.to(DEVICE, torch.bfloat16).eval()
    images = torch.randn(given["images"], 3, size, size, device=DEVICE, dtype=torch.bfloat16)
    ways = {"eager": tower}
    if not given["rehearse"]:
        ways["torch.compile"] = torch.compile(tower)

    def stepper(network):
        @torch.inference_mode()
        def step():
            return network(images)

        return step

    return {name: stepper(network) for name, network in ways.items()}, {}


class Views(torch.utils.data.Dataset):
    """Two views of random images of CIFAR's size, without end."""

    def __init__(self, transform):
        shape = (256, 32, 32, 3)
        self.pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        self.transform = transform

    def __len__(self):
        return 2**40

    def __getitem__(self, i):
        image = Image.fromarray(self.pixels[i % len(self.pixels)])
        return self.transform(image), self.transform(image)


def loader(given) -> tuple:
    """A batch of the contrastive recipes' two views, from workers."""
    import torchvision
    from torchvision import transforms

    jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    steps = [
        transforms.RandomResizedCrop(32, (0.2, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([jitter], 0.8),
        transforms.RandomGrayscale(0.2),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.25,) * 3),
    ]
    batches = torch.utils.data.DataLoader(
        Views(transforms.Compose(steps)), given["batch"], num_workers=given["workers"]
    )
    iterator = iter(batches)  # forks, before CUDA is used
    name = f"torchvision {torchvision.__version__}, {given['workers']} workers"
    return {name: lambda: next(iterator)}, {}


def seconds(step, count: int) -> float:
    wait()
    began = time.perf_counter()
    for _ in range(count):
        step()
    wait()
    return (time.perf_counter() - began) / count


def main() -> None:
    task, given = sys.argv[1], json.loads(sys.argv[2])
    torch.backends.cuda.matmul.allow_tf32 = False
    tasks = {"train": train, "knn": knn, "clip": clip, "loader": loader}
    ways, facts = tasks[task](given)
    timed = {}
    for name, step in ways.items():
        try:
            seconds(step, 3)  # compiles
            timed[name] = seconds(step, 3)
        except Exception as e:  # one way fails, the other is measured
            facts[f"{name} failed"] = f"{type(e).__name__}: {e}".splitlines()[0][:200]
    if not timed:
        raise RuntimeError(str(facts))
    how = min(timed, key=timed.get)
    facts |= {"how": f"torch {torch.__version__}, {how}"}
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": seconds(ways[how], int(line))}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception as e:
        print(json.dumps({"failed": f"{type(e).__name__}: {e}"[:300]}), flush=True)
        raise SystemExit(1) from e
