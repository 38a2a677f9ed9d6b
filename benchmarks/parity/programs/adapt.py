"""JINHYUKSUH/ADAPT: `train_adapt.train_ADAPT`, `train_adapt.ADAPT` and `eval_ood.main`."""

import importlib
from types import SimpleNamespace

import torch

from benchmarks.parity import checkout
from benchmarks.parity.programs import base, distance_scores


class Adapt(base.Defaults):
    """The program; see `base.Program`."""

    repository, config, schedule = "JINHYUKSUH/ADAPT", "cifar10_adapt", "adapt_as_executed"
    scores = distance_scores.SCORES

    def __init__(self, repo: str):
        checkout.enter(repo, stubs=["seaborn", "torch.utils.tensorboard"])
        self.program = importlib.import_module("train_adapt")

    def train(self, config, start, prototypes, epochs, plain):
        """Runs its training loop, one call per epoch, as its `main` does."""
        run = self._ready(config)
        base.load(run.model, start)
        run.criterion.protos = torch.tensor(prototypes)
        for number, epoch in enumerate(epochs):
            self._epoch(run, [base.views(batch) for batch in epoch], number)
        return run.model, run.record.arrays(), run.criterion.protos.numpy()

    def train_alone(self, config, images, labels, seed: int):
        """Trains from its own initial weights, with its own augmentation and order of images.

        Args:
          config: our config, whose lengths and rates it gets.
          images: training images (N, 32, 32, 3) uint8.
          labels: their classes (N,).
          seed: PyTorch's seed, which its network, augmentation and loader draw from.

        Returns:
          Its network, and what it computed at every step.
        """
        torch.manual_seed(seed)
        pairs = base.Augmented(images, labels, self.transform(config))
        loader = torch.utils.data.DataLoader(pairs, batch_size=config.batch_size, shuffle=True)
        run = self._ready(config)
        for number in range(config.epochs):
            self._epoch(run, loader, number)
        return run.model, run.record.arrays()

    def _ready(self, config) -> SimpleNamespace:
        """Its arguments, network, loss and optimiser, as its `main` makes them, and a record."""
        program, rate = self.program, config.optimizer
        flags = {
            "--in-dataset": "CIFAR-10", "--backbone": "resnet18", "--epochs": config.epochs,
            "--batch-size": config.batch_size, "--lr": rate.learning_rate,
            "--weight-decay": rate.weight_decay, "--momentum": rate.momentum,
        }  # fmt: skip
        with base.scratch() as folder, checkout.called_with(_flat(flags), folder):
            args = program.get_args()
        model = build_network(config.model.width)
        criterion = program.ADAPT(
            args, temp=args.temp, num_classes=10, proto_m=args.proto_m,
            n_protos=10 * args.cache_size, k=args.k, lambda_pcon=args.lambda_pcon,
        )  # fmt: skip
        optimizer = program.get_optimizer(args, model, criterion)
        record = base.Recorder()
        record.rates(optimizer)

        def said(module, given, result):
            loss, parts = result
            record.add("loss", loss)
            record.add("mle", parts["mle"])
            record.add("proto_contra", parts["proto_contra"])
            record.add("alignment", parts["sim_mean"])

        criterion.register_forward_hook(said)
        return SimpleNamespace(
            args=args, model=model, criterion=criterion, optimizer=optimizer,
            scaler=torch.cuda.amp.GradScaler(), record=record,
        )  # fmt: skip

    def _epoch(self, run: SimpleNamespace, loader, number: int) -> None:
        self.program.train_ADAPT(
            run.args, loader, run.model, run.criterion, run.optimizer, number, run.args.beta,
            scaler=run.scaler,
        )  # fmt: skip

    def evaluate(self, sets):
        """Runs its evaluation script."""
        given = ["--in_dataset", "CIFAR-10", "--batch-size", "500"]
        return distance_scores.evaluate(sets, given, "models.resnet", "ADAPTResNet")

    def transform(self, config):
        """The transform of its training loader."""
        loaders = importlib.import_module("train_util.loaders.data_loader")
        return loaders.get_transform_train("CIFAR-10", "ADAPT")


def build_network(width: int, kind: str = "ADAPTResNet"):
    """Its network with its head on an encoder of `width`."""
    resnet = importlib.import_module("models.resnet")

    def encoder():
        return base.narrow(resnet.ResNet, resnet.BasicBlock, width)

    resnet.model_dict["narrow"] = [encoder, 8 * width]
    return getattr(resnet, kind)(name="narrow")


def _flat(flags):
    return [str(word) for pair in flags.items() for word in pair]


def open_checkout(repo: str, method: str) -> Adapt:
    """The program of a checkout."""
    del method
    return Adapt(repo)
