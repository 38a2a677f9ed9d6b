"""The peer's side of `benchmarks/peer.py`, for the Python that has pytorch-ood: features to scores.

    python benchmarks/peer_pytorch_ood.py FOLDER

Reads FOLDER/features.npz and writes FOLDER/peer.npz. Scores are negated, so that larger means
in-distribution, as in this project.
"""

import pathlib
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from pytorch_ood import detector as peer

folder = pathlib.Path(sys.argv[1])
with np.load(folder / "features.npz") as file:
    arrays = {name: file[name] for name in file.files}
sets = [k.removesuffix("/features") for k in arrays if k.endswith("/features") if k[:5] != "train"]
tensor = {k: torch.from_numpy(v) for k, v in arrays.items()}
weight, bias = tensor["kernel"].T.contiguous(), tensor["bias"]
head = torch.nn.Linear(weight.shape[1], weight.shape[0])
head.weight, head.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
train, labels = tensor["train/features"], tensor["train/labels"].long()

# name: (detector, whether it reads logits)
DETECTORS = {
    "MSP": (peer.MaxSoftmax(None), True),
    "MaxLogit": (peer.MaxLogit(None), True),
    "energy": (peer.EnergyBased(None), True),
    "Mahalanobis": (peer.Mahalanobis(None), False),
    "RMD": (peer.RMD(None), False),
    "kNN": (peer.KNN(None, k=50), False),
    "ViM": (peer.ViM(None, d=20, w=weight, b=bias), False),
    "SHE": (peer.SHE(None, head), False),
    "NCI": (peer.NCI(None, head, alpha=0.001), False),
    "NNGuide": (peer.NNGuide(None, head, k=10), False),
}

found = {}
with torch.no_grad():
    for name, (method, reads_logits) in DETECTORS.items():
        for _ in range(2):  # as ours, whose first call compiles
            began = time.process_time()
            if not reads_logits:
                method.fit_features(train, labels)
            ready = time.process_time()
            for s in sets:
                if reads_logits:
                    scores = method.predict_logits(tensor[f"{s}/logits"])
                else:
                    scores = method.predict_features(tensor[f"{s}/features"])
                found[f"{name}/{s}"] = -scores.numpy()
            found[f"seconds {name}"] = np.array([ready - began, time.process_time() - ready])
found["versions"] = np.array(f"pytorch-ood {version('pytorch-ood')}, torch {torch.__version__}")
np.savez(folder / "peer.npz", **found)
