"""sudarshanregmi/ReweightOOD: `ReweightOODTrainer` and `ReweightOODPostprocessor`."""

import importlib
import pathlib
from types import MappingProxyType, SimpleNamespace

import numpy as np
import yaml

from adapt_jax.models.torch_names import Layout
from benchmarks.parity import checkout
from benchmarks.parity.programs import base

PACKAGES = ("utils", "trainers", "networks", "postprocessors", "preprocessors", "evaluators")


class ReweightOOD(base.Defaults):
    """The program; see `base.Program`."""

    repository, config = "sudarshanregmi/ReweightOOD", "cifar10_reweightood"
    schedule, layout = "reweightood_as_executed", Layout("backbone.")
    changes = MappingProxyType({"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)})
    scores, fpr = {"reweightood": "mahalanobis?covariance=within"}, "fpr95"

    def __init__(self, repo: str):
        names = ["openood", *(f"openood.{name}" for name in PACKAGES)]
        checkout.enter(repo, bare=names)
        importlib.import_module("openood.utils").Config = SimpleNamespace  # of annotations
        files = ("datasets/cifar10/cifar10.yml", "pipelines/train/train_reweightood.yml")
        merged = {}
        for file in files:
            merged |= yaml.safe_load(pathlib.Path(repo, "configs", file).read_text())
        self.settings = _namespace(merged)

    def train(self, config, start, prototypes, epochs, plain):
        """Runs its trainer, one call per epoch, as its pipeline does."""
        settings, rate = self.settings, config.optimizer
        settings.dataset.train.batch_size = config.batch_size
        settings.optimizer.num_epochs, settings.optimizer.lr = config.epochs, rate.learning_rate
        resnet = importlib.import_module("openood.networks.resnet18_32x32")
        backbone = base.narrow(resnet.ResNet18_32x32, resnet.BasicBlock, config.model.width)
        backbone.feature_size = 8 * config.model.width
        networks = importlib.import_module("openood.networks.cider_net")
        model = networks.CIDERNet(backbone, head="mlp", feat_dim=128, num_classes=10)
        base.load(model, start)
        module = importlib.import_module("openood.trainers.reweightood_trainer")
        trainer, record = module.ReweightOODTrainer(model, None, settings), base.Recorder()
        record.rates(trainer.optimizer)
        trainer.elu.register_forward_hook(
            lambda module, given, result: record.add("loss", result)
        )  # the last thing its loss does
        for number, epoch in enumerate(epochs):
            trainer.train_loader = _Loader(map(base.views, epoch))
            trainer.train_epoch(number + 1)
        return model, record.arrays(), None

    def evaluate(self, sets):
        """Fits and runs its post-processor, then its metrics."""
        module = importlib.import_module("openood.postprocessors.reweightood_postprocessor")
        networks = importlib.import_module("openood.networks.cider_net")
        measure = importlib.import_module("openood.evaluators.metrics").compute_all_metrics
        scale = networks.CIDERNet.intermediate_forward
        net = SimpleNamespace(
            intermediate_forward=lambda rows: scale(SimpleNamespace(backbone=lambda x: x), rows)
        )
        scorer = module.ReweightOODPostprocessor(self.settings)
        batches = base.loader(sets.train, sets.labels)
        train = [{"data": rows, "label": labels} for rows, labels in batches]
        scorer.setup(net, {"train": train}, None)

        def score(features):
            found = [scorer.postprocess(net, rows)[1] for rows, _ in base.loader(features)]
            return np.concatenate([part.numpy() for part in found])

        found, known = {"AUROC": {}, "FPR95": {}}, score(sets.test)
        for name, features in sets.ood.items():
            scores = np.concatenate([known, score(features)])
            labels = np.where(np.arange(len(scores)) < len(known), 0, -1)
            fpr, auroc, *_ = measure(scores, labels, np.zeros_like(labels))
            found["AUROC"][f"reweightood {name}"] = np.array(auroc)
            found["FPR95"][f"reweightood {name}"] = np.array(fpr)
        return found

    def transform(self, config):
        """Its preprocessor."""
        module = importlib.import_module("openood.preprocessors.cider_preprocessor")
        return module.CiderPreprocessor(self.settings)


class _Loader:
    """One epoch's batches; like a DataLoader's, its iterator has the length of the epoch."""

    def __init__(self, pairs):
        self.batches = [{"data": views, "label": labels} for views, labels in pairs]

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.following = iter(self.batches)
        return self

    def __next__(self):
        return next(self.following)


def _namespace(value):
    """Nested dicts as nested namespaces."""
    if not isinstance(value, dict):
        return value
    return SimpleNamespace(**{key: _namespace(inner) for key, inner in value.items()})


def open_checkout(repo: str, method: str) -> ReweightOOD:
    """The program of a checkout."""
    del method
    return ReweightOOD(repo)
