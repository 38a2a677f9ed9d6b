"""`eval_ood.main`, which deeplearning-wisc/cider and JINHYUKSUH/ADAPT share, on given features."""

import importlib
from types import SimpleNamespace
from unittest import mock

import numpy as np

from benchmarks.parity import checkout
from benchmarks.parity.ours import Sets
from benchmarks.parity.programs import base

SCORES = {"maha": "mahalanobis", "knn": "knn?k=300"}


def evaluate(sets: Sets, arguments: list[str], module: str, kind: str) -> base.Metrics:
    """Runs the script with both of its scores; its OOD sets are ours, five at most, in order.

    Args:
      sets: the features, not normalised: the program's own network class normalises them.
      arguments: command-line arguments of the script.
      module: module of the program's networks.
      kind: name of the class of network, whose `intermediate_forward` makes features.
    """
    script = importlib.import_module("eval_ood")
    scale = getattr(importlib.import_module(module), kind).intermediate_forward
    net = SimpleNamespace(
        intermediate_forward=lambda rows: scale(SimpleNamespace(encoder=lambda x: x), rows)
    )
    found: base.Metrics = {"AUROC": {}, "FPR95": {}}
    train, test = base.loader(sets.train, sets.labels), base.loader(sets.test)
    for score in SCORES:
        given = [*arguments, "--score", score, "--embedding_dim", str(sets.train.shape[1])]
        with base.scratch() as folder, checkout.called_with(given, folder):
            args = script.process_args()
            following = iter([base.loader(features) for features in sets.ood.values()]).__next__
            results: list[list[float]] = []
            with mock.patch.multiple(
                script,
                set_up=mock.Mock(return_value=(train, test, net)),
                set_ood_loader_small=mock.Mock(side_effect=lambda *_, take=following: take()),
                get_and_print_results=_recording(script.get_and_print_results, results),
                save_as_dataframe=mock.DEFAULT,
                plot_distribution=mock.DEFAULT,
            ):
                script.obtain_feature_from_loader.__defaults__ = (sets.train.shape[1],)
                args.log_directory = folder
                script.main(args)
        for name, (auroc, fpr) in zip(sets.ood, results, strict=True):
            found["AUROC"][f"{score} {name}"] = np.array(auroc)
            found["FPR95"][f"{score} {name}"] = np.array(fpr)
    return found


def _recording(function, results):
    def call(args, in_score, out_score, aurocs, auprs, fprs, log=None):
        function(args, in_score, out_score, aurocs, auprs, fprs, log)
        results.append([aurocs[-1], fprs[-1]])

    return call
