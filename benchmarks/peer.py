"""Ten detectors beside pytorch-ood 0.4.0 on the same features: AUROC and times.

    python -m benchmarks.peer --workdir=runs/peer --weights=resnet20.npz --train=npz:train.npz \\
        --test=npz:test.npz --ood=tin=npz:tin.npz,mnist=npz:mnist.npz --install

The network is `examples/resnet20_cifar10.py`. --install makes a virtual environment in the folder
of the runs and installs the peer and PyTorch there, once; --python=PATH is an interpreter that has
them. Outputs of the network stay in the folder and are used again. The peer runs in a process of
its own, `benchmarks/peer_pytorch_ood.py`, which gets features and the classifier; every detector
has the same hyper-parameters on both sides. Exits with 1 if an AUROC differs by more than 0.01
points.
"""

import argparse
import pathlib
import subprocess
import sys
import time
import venv

import jax
import numpy as np

from adapt_jax import data, detectors, metrics
from adapt_jax.detectors import Head, Outputs
from examples import resnet20_cifar10

PEER = "pytorch-ood==0.4.0"
CLOSE = 0.01  # points of AUROC
# Ours; pytorch-ood's class and what it is called with stand in peer_pytorch_ood.py.
DETECTORS = {
    "MSP": "msp",
    "MaxLogit": "mls",
    "energy": "energy",
    "Mahalanobis": "mahalanobis?normalize=False&covariance=within",
    "RMD": "rmds",
    "kNN": "knn?k=50",
    "ViM": "vim?dim=20",
    "SHE": "she",
    "NCI": "nci?alpha=0.001",
    "NNGuide": "nnguide?k=10&alpha=1",
}


def network_outputs(weights: str, source: str) -> Outputs:
    """Features, logits and labels of a set."""
    with np.load(weights) as file:
        params = {name: file[name] for name in file.files}
    images = data.load(source, 32)
    mean, std = (np.array(x, np.float32) for x in (resnet20_cifar10.MEAN, resnet20_cifar10.STD))
    forward = jax.jit(lambda x: resnet20_cifar10.features(params, (x / 255.0 - mean) / std))
    parts = [
        np.asarray(forward(images.images[i : i + 500].astype(np.float32)))
        for i in range(0, len(images.images), 500)
    ]
    features = np.concatenate(parts)
    logits = features @ params["linear.weight"].T + params["linear.bias"]
    return Outputs(features, logits, images.labels)


def write(path: pathlib.Path, weights: str, outputs: dict[str, Outputs]) -> None:
    """What both sides read: outputs of every set, and the classifier."""
    with np.load(weights) as file:
        arrays = {"kernel": file["linear.weight"].T, "bias": file["linear.bias"]}
    for name, of_set in outputs.items():
        arrays |= {f"{name}/{k}": v for k, v in of_set._asdict().items()}
    np.savez(path, **arrays)


def read(path: pathlib.Path) -> tuple[Head, Outputs, dict[str, Outputs]]:
    """The classifier, the outputs detectors are fitted on, and those of the other sets."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    names = [k.removesuffix("/features") for k in arrays if k.endswith("/features")]
    sets = {n: Outputs(*(arrays[f"{n}/{field}"] for field in Outputs._fields)) for n in names}
    return Head(arrays["kernel"], arrays["bias"]), sets.pop("train"), sets


def ours(head: Head, train: Outputs, tests: dict[str, Outputs]):
    """Scores and seconds (fit, score) by detector."""
    found = {}
    for name, spec in DETECTORS.items():
        detector = detectors.make(spec)
        for _ in range(2):  # the first call compiles
            began = time.process_time()
            state = detector.fit(train, head=head)
            ready = time.process_time()
            scores = {k: np.asarray(detector.score(state, v)) for k, v in tests.items()}
            ended = time.process_time()
        found[name] = (scores, ready - began, ended - ready)
    return found


def peer(python: str, folder: pathlib.Path):
    """The same of the peer, from its own process."""
    script = pathlib.Path(__file__).with_name("peer_pytorch_ood.py")
    subprocess.run([python, script, folder], check=True)
    with np.load(folder / "peer.npz") as file:
        arrays = {name: file[name] for name in file.files}
    sets = sorted({k.split("/")[1] for k in arrays if k.count("/") == 1})
    return {
        name: ({s: arrays[f"{name}/{s}"] for s in sets}, *arrays[f"seconds {name}"])
        for name in DETECTORS
    }, str(arrays["versions"])


def interpreter(options) -> str:
    """The Python that has the peer, installed if that was asked for."""
    if options.python:
        return options.python
    folder = options.workdir / "venv"
    if not folder.exists():
        if not options.install:
            sys.exit(f"give --install (makes {folder} with {PEER}), or --python=PATH that has it")
        venv.create(folder, with_pip=True)
        subprocess.run(
            [folder / "bin/python", "-m", "pip", "install", "-q", PEER, "scikit-learn"], check=True
        )
    return str(folder / "bin/python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--ood", required=True, help="name=source,name=source")
    parser.add_argument("--python", default="")
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    options.workdir.mkdir(parents=True, exist_ok=True)
    python = interpreter(options)

    sources = dict(part.split("=", 1) for part in options.ood.split(","))
    path = options.workdir / "features.npz"
    if not path.exists():
        every = {"train": options.train, "id": options.test, **sources}
        write(
            path,
            options.weights,
            {k: network_outputs(options.weights, v) for k, v in every.items()},
        )
    head, train, tests = read(path)
    mine, (theirs, versions) = ours(head, train, tests), peer(python, options.workdir)
    accuracy = np.mean(tests["id"].logits.argmax(1) == tests["id"].labels)
    counts = ", ".join(f"{name} {len(o.features):,}" for name, o in tests.items())
    print(f"{versions}; jax {jax.__version__}; accuracy {100 * accuracy:.2f} %")
    print(f"fitted on {len(train.features):,} images; {counts}\n")
    print("| detector | ours |", *(f"{s} ours | {s} peer |" for s in sources), end=" ")
    print("largest difference | fit, CPU s: ours | peer | score, CPU s: ours | peer |")
    print("| --- | --- |", "---: | " * (2 * len(sources) + 5))
    worst = 0.0
    for name in DETECTORS:
        pairs = []
        for s in sources:
            for scores, *_ in (mine[name], theirs[name]):
                pairs.append(100 * metrics.ood_metrics(scores["id"], scores[s])["auroc"])
        difference = max(abs(a - b) for a, b in zip(pairs[::2], pairs[1::2]))
        worst = max(worst, difference)
        seconds = (mine[name][1], theirs[name][1], mine[name][2], theirs[name][2])
        print(f"| {name} | `{DETECTORS[name]}` |", *(f"{p:.3f} |" for p in pairs), end=" ")
        print(f"{difference:.4f} |", *(f"{s:.3f} |" for s in seconds))
    print(f"\nlargest difference: {worst:.4f} points of AUROC")
    sys.exit(int(worst > CLOSE))


if __name__ == "__main__":
    main()
