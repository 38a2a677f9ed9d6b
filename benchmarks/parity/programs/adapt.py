"""JINHYUKSUH/ADAPT: `train_adapt.train_ADAPT`, `train_adapt.ADAPT` and `eval_ood.main`."""

import importlib

import torch

from benchmarks.parity import checkout
from benchmarks.parity.programs import base, distance_scores


class Adapt(base.Defaults):
    """The program; see `base.Program`."""

    repository, config, schedule = "JINHYUKSUH/ADAPT", "cifar10_adapt", "adapt_as_executed"
    scores = distance_scores.SCORES

    def __init__(self, repo: str):
        checkout.enter(repo, stubs=["seaborn"])
        self.program = importlib.import_module("train_adapt")

    def train(self, config, start, prototypes, epochs, plain):
        """Runs its training loop, one call per epoch, as its `main` does."""
        program, rate = self.program, config.optimizer
        flags = {
            "--in-dataset": "CIFAR-10", "--backbone": "resnet18", "--epochs": config.epochs,
            "--batch-size": config.batch_size, "--lr": rate.learning_rate,
            "--weight-decay": rate.weight_decay, "--momentum": rate.momentum,
        }  # fmt: skip
        with base.scratch() as folder, checkout.called_with(_flat(flags), folder):
            args = program.get_args()
        model = build_network(config.model.width)
        base.load(model, start)
        criterion = program.ADAPT(
            args, temp=args.temp, num_classes=10, proto_m=args.proto_m,
            n_protos=10 * args.cache_size, k=args.k, lambda_pcon=args.lambda_pcon,
        )  # fmt: skip
        criterion.protos = torch.tensor(prototypes)
        optimizer = program.get_optimizer(args, model, criterion)
        scaler, record = torch.cuda.amp.GradScaler(), base.Recorder()
        record.rates(optimizer)

        def said(module, given, result):
            loss, parts = result
            record.add("loss", loss)
            record.add("mle", parts["mle"])
            record.add("proto_contra", parts["proto_contra"])
            record.add("alignment", parts["sim_mean"])

        criterion.register_forward_hook(said)
        for number, epoch in enumerate(epochs):
            batches = [base.views(batch) for batch in epoch]
            program.train_ADAPT(
                args, batches, model, criterion, optimizer, number, args.beta, scaler=scaler
            )
        return model, record.arrays(), criterion.protos.numpy()

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
