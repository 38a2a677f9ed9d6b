"""Training curves: every field that training records is explained."""

import inspect
import re

from adapt_jax import methods
from adapt_jax.report import curves
from adapt_jax.training import train_step


def test_every_metric_of_every_method_is_explained():
    named = set()
    for factory in methods.FACTORIES.values():
        described = re.search(r"Metrics: (.*?)(?:\n\n|$)", inspect.getdoc(factory) or "", re.S)
        named |= set(re.findall(r"`(\w+)`", described[1])) if described else set()
    assert {"mle", "tau", "dispersion", "pos_lse", "centre", "accuracy"} <= named
    assert named - {"weight"} <= curves.EXPLAINED.keys()


def test_every_metric_of_the_training_step_is_explained():
    recorded = set(re.findall(r'^ +"(\w+)": ', inspect.getsource(train_step), re.M))
    assert "gradient_norm" in recorded
    assert recorded <= curves.EXPLAINED.keys()


def test_the_loss_and_its_rate_come_first_and_unknown_fields_are_shown_as_they_are():
    history = [
        {"step": i, "mine": i, "learning_rate": 0.1, "loss": 1.0, "x": "text", "y": True}
        for i in range(3)
    ]
    shown = curves.panels(history)
    assert [field for field, *_ in shown] == ["loss", "learning_rate", "mine"]
    assert shown[0][1] == curves.EXPLAINED["loss"]
    assert shown[2][1:3] == ("", "2")
