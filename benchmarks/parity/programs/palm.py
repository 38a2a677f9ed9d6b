"""jeff024/PALM: `trainer.train_palm`, `PALM` and `util.evaluations.mahalanobis.eval_maha`."""

import importlib
import pathlib
from unittest import mock

import numpy as np
import torch

from benchmarks.parity import checkout
from benchmarks.parity.programs import adapt, base


class Palm(base.Defaults):
    """The program; see `base.Program`."""

    repository, config, schedule = "jeff024/PALM", "cifar10_palm", "adapt_as_executed"
    scores, fpr = {"SSD+": "palm_ssd"}, "fpr95_idpos_pct"

    def __init__(self, repo: str):
        checkout.enter(repo, stubs=["scipy.misc"])
        self.trainer = importlib.import_module("trainer")
        self.criteria = importlib.import_module("util.loss_functions")
        self.utilities = importlib.import_module("util.train_utils")

    def _args(self, folder, flags):
        given = ["--in-dataset", "CIFAR-10", "--method", "palm", *map(str, flags)]
        with checkout.called_with(given, folder):
            return importlib.import_module("util.loaders.args_loader").get_args()

    def train(self, config, start, prototypes, epochs, plain):
        """Runs its training loop, one call per epoch, as its `main` does."""
        rate = config.optimizer
        flags = [
            "--epochs", config.epochs, "--batch-size", config.batch_size,
            "--lr", rate.learning_rate, "--weight-decay", rate.weight_decay, "--temp", "0.1",
        ]  # fmt: skip
        with base.scratch() as folder:
            args = self._args(folder, flags)
        model = adapt.build_network(config.model.width, "PALMResNet")
        base.load(model, start)
        criterion = self.criteria.PALM(
            args, temp=args.temp, num_classes=10, proto_m=args.proto_m,
            n_protos=10 * args.cache_size, k=args.k, lambda_pcon=args.lambda_pcon,
        )  # fmt: skip
        criterion.protos = torch.tensor(prototypes)
        optimizer = self.utilities.get_optimizer(args, model, criterion)
        scaler, record = torch.cuda.amp.GradScaler(), base.Recorder()
        record.rates(optimizer)

        def said(module, given, result):
            loss, parts = result
            record.add("loss", loss)
            for name, value in parts.items():
                record.add(name, value)

        criterion.register_forward_hook(said)
        for number, epoch in enumerate(epochs):
            batches = [base.views(batch) for batch in epoch]
            self.trainer.train_palm(
                args, batches, model, criterion, optimizer, number, scaler=scaler
            )
        return model, record.arrays(), criterion.protos.numpy()

    def evaluate(self, sets):
        """Runs its evaluation on the feature files it reads."""
        module = importlib.import_module("util.evaluations.mahalanobis")
        caught: list = []
        with base.scratch() as folder:
            args = self._args(folder, ["--backbone", "resnet18", "--out-datasets", *sets.ood])
            stem = "resnet18-palm"
            place = pathlib.Path(folder, "cache", stem, "CIFAR-10")
            place.mkdir(parents=True)
            files = {"train_": sets.train, "val_": sets.test}
            files |= {f"{name}/": features for name, features in sets.ood.items()}
            for where, features in files.items():
                (place / where).parent.mkdir(exist_ok=True)
                (place / f"{where}x").parent.mkdir(exist_ok=True)
                np.save(place / f"{where}{stem}_features.npy", features)
                np.save(place / f"{where}{stem}_labels.npy", np.zeros(len(features)))
            printed = mock.patch.object(
                module.metrics, "print_all_results", lambda results, *_: caught.extend(results)
            )
            # NumPy 2.4 has dropped the old name.
            shim = mock.patch.object(np, "trapz", np.trapezoid, create=True)
            with checkout.called_with([], folder), printed, shim:
                module.eval_maha(args)
        rows = list(zip(sets.ood, caught, strict=True))
        return {
            "AUROC": {f"SSD+ {name}": np.array(row["AUROC"]) for name, row in rows},
            "FPR95": {f"SSD+ {name}": np.array(row["FPR"]) for name, row in rows},
        }

    def transform(self, config):
        """The transform of its training loader."""
        return importlib.import_module("util.loaders.data_loader").get_transform_train(
            "CIFAR-10", "palm"
        )


def open_checkout(repo: str, method: str) -> Palm:
    """The program of a checkout."""
    del method
    return Palm(repo)
