"""HobbitLong/SupContrast: `main_supcon.train` and its loss; it evaluates no OOD scores."""

import importlib
from types import MappingProxyType
from unittest import mock

import torchvision

from benchmarks.parity import checkout
from benchmarks.parity.programs import base


class SupContrast(base.Defaults):
    """The program, at a constant rate; see `base.Program`."""

    repository, config, schedule = "HobbitLong/SupContrast", "cifar10_supcon", "constant"
    changes = MappingProxyType(
        {
            "optimizer.nesterov": False,
            "optimizer.warmup_epochs": 0,
            "mean": (0.4914, 0.4822, 0.4465),
            "std": (0.2023, 0.1994, 0.2010),
        }
    )

    def __init__(self, repo: str):
        checkout.enter(repo, stubs=["tensorboard_logger"])
        self.program = importlib.import_module("main_supcon")

    def _options(self, config):
        rate = config.optimizer
        flags = [
            "--batch_size", config.batch_size, "--epochs", config.epochs, "--model", "narrow",
            "--learning_rate", rate.learning_rate, "--weight_decay", rate.weight_decay,
            "--temp", config.method.params.temperature,
        ]  # fmt: skip
        with base.scratch() as folder, checkout.called_with([str(f) for f in flags], folder):
            return self.program.parse_option()

    def train(self, config, start, prototypes, epochs, plain):
        """Runs its training loop, one call per epoch, as its `main` does."""
        program, options, record = self.program, self._options(config), base.Recorder()
        networks = importlib.import_module("networks.resnet_big")

        def encoder():
            return base.narrow(networks.ResNet, networks.BasicBlock, config.model.width)

        networks.model_dict["narrow"] = [encoder, 8 * config.model.width]
        model, criterion = program.set_model(options)
        base.load(model, start)
        criterion.register_forward_hook(lambda _, given, result: record.add("loss", result))
        optimizer = program.set_optimizer(options, model)
        record.rates(optimizer)
        for number, epoch in enumerate(epochs, start=1):
            program.adjust_learning_rate(options, optimizer, number)
            batches = [base.views(batch) for batch in epoch]
            program.train(batches, model, criterion, optimizer, number, options)
        return model, record.arrays(), None

    def transform(self, config):
        """The transform its training loader gives to torchvision."""
        caught = []

        def dataset(root, transform, download):
            caught.append(transform)
            return [0]

        with mock.patch.object(torchvision.datasets, "CIFAR10", dataset):
            self.program.set_loader(self._options(config))
        return caught[0]


def open_checkout(repo: str, method: str) -> SupContrast:
    """The program of a checkout."""
    del method
    return SupContrast(repo)
