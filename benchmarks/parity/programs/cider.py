"""deeplearning-wisc/cider: `train_cider.train_cider` with both of its losses, `eval_ood.main`."""

import importlib
import logging
from types import MappingProxyType
from unittest import mock

import torch
import torchvision

from benchmarks.parity import checkout
from benchmarks.parity.programs import base, distance_scores


class Cider(base.Defaults):
    """The program; see `base.Program`. loss: "cider" or "supcon"."""

    repository, schedule = "deeplearning-wisc/cider", "cider_as_executed"
    changes = MappingProxyType({"mean": (0.491, 0.482, 0.447), "std": (0.247, 0.244, 0.262)})
    scores = distance_scores.SCORES

    def __init__(self, repo: str, loss: str):
        checkout.enter(repo, stubs=["tensorboard_logger", "seaborn"])
        self.loss, self.config = loss, f"cifar10_{loss}"

    def train(self, config, start, prototypes, epochs, plain):
        """Runs its training loop, one call per epoch, as its `main` does."""
        rate, params = config.optimizer, config.method.params
        flags = [
            "--in-dataset", "CIFAR-10", "--loss", self.loss, "--cosine", "--warm",
            "--model", "narrow", "--epochs", config.epochs, "--batch-size", config.batch_size,
            "--learning_rate", rate.learning_rate, "--weight-decay", rate.weight_decay,
        ]  # fmt: skip
        if self.loss == "cider":  # its script for CIFAR-10
            flags += ["--w", params.weight, "--proto_m", params.proto_momentum]
        with base.scratch() as folder, checkout.called_with([str(f) for f in flags], folder):
            program = importlib.import_module("train_cider")  # it parses when it is imported
        args, record = program.args, base.Recorder()
        resnet = importlib.import_module("models.resnet")

        def encoder():
            return base.narrow(resnet.ResNet, resnet.BasicBlock, config.model.width)

        resnet.model_dict["narrow"] = [encoder, 8 * config.model.width]
        model = program.set_model(args)
        base.load(model, {**base.weights(model), **start})  # it keeps a classifier it never uses
        supcon = program.SupConLoss(temperature=args.temp)
        compact = program.CompLoss(args, temperature=args.temp)
        whole, labels = base.views(plain)  # its DisLoss starts from class means of these
        disperse = program.DisLoss(args, model, [(whole[0], labels)], temperature=args.temp)
        named = {"loss": supcon, "compactness": compact, "dispersion": disperse}
        for name, criterion in named.items():
            criterion.register_forward_hook(
                lambda module, given, result, name=name: record.add(name, result)
            )
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=args.learning_rate,
            momentum=args.momentum,
            nesterov=True,
            weight_decay=args.weight_decay,
        )  # fmt: skip  (the line of its main)
        record.rates(optimizer)
        for number, epoch in enumerate(epochs):
            program.adjust_learning_rate(args, optimizer, number)
            batches = [base.views(batch) for batch in epoch]
            program.train_cider(
                args, batches, model, supcon, compact, disperse, optimizer, number,
                logging.getLogger("silent"),
            )  # fmt: skip
        model.fc = torch.nn.Identity()
        moved = disperse.prototypes.numpy() if self.loss == "cider" else None
        return model, record.arrays(), moved

    def evaluate(self, sets):
        """Runs its evaluation script."""
        given = ["--in_dataset", "CIFAR-10", "--batch-size", "500", "--loss", self.loss]
        return distance_scores.evaluate(sets, given, "models.resnet", "SupCEHeadResNet")

    def transform(self, config):
        """The transform its training loader gives to torchvision."""
        caught = {}

        class Caught(torch.utils.data.Dataset):
            def __init__(self, root, train=True, download=False, transform=None):
                caught[train] = transform

            def __len__(self):
                return 1

        utilities = importlib.import_module("utils.util")
        args = mock.Mock(id_loc="", batch_size=1, in_dataset="CIFAR-10")
        with mock.patch.object(torchvision.datasets, "CIFAR10", Caught):
            utilities.set_loader_small(args)
        return caught[True]


def open_checkout(repo: str, method: str) -> Cider:
    """The program of a checkout; `method` is the loss."""
    return Cider(repo, method)
