"""`import adapt_jax` costs nothing and offers everything; its jobs can be called."""

import ast
import inspect
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import adapt_jax
from adapt_jax import compare, train
from adapt_jax.evaluate import job as evaluate_job

ROOT = pathlib.Path(__file__).parents[1]


def test_nothing_is_imported_before_it_is_used():
    code = (
        "import sys, adapt_jax\n"
        "assert 'load' in dir(adapt_jax)\n"
        "assert not {'jax', 'numpy', 'sklearn', 'absl'} & set(sys.modules)\n"
        "assert {m for m in sys.modules if m.startswith('adapt_jax')} == {"
        "'adapt_jax', 'adapt_jax.core', 'adapt_jax.core.version'}\n"
        # Jobs start without what only some of their endings need.
        "import jax, flax.linen, optax, orbax.checkpoint\n"
        "slow = {'scipy.stats', 'scipy.optimize', 'sklearn', 'matplotlib'} - set(sys.modules)\n"
        "import adapt_jax.train, adapt_jax.predict, adapt_jax.evaluate.job, adapt_jax.export.job\n"
        "import adapt_jax.zero_shot.job, adapt_jax.doctor.job\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_name_is_there_and_known_to_type_checkers():
    tree = ast.parse((ROOT / "adapt_jax" / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert {alias.asname for node in block.body for alias in node.names} == set(adapt_jax.__all__)
    for name in adapt_jax.__all__:
        assert getattr(adapt_jax, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        adapt_jax.lode  # noqa: B018


def test_jobs_are_modules_that_can_be_called(tmp_path):
    for module, function in (
        (adapt_jax.train, train.train),
        (adapt_jax.compare, compare.compare),
        (adapt_jax.evaluate, evaluate_job.evaluate_run),
    ):
        assert inspect.ismodule(module)
        assert inspect.signature(module) == inspect.signature(function)
    assert adapt_jax.train is train
    with pytest.raises(adapt_jax.InputError, match="is not a folder"):
        adapt_jax.evaluate(str(tmp_path / "none"))


def test_detectors_take_arrays_and_spec_strings():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    X, other = rng.normal(size=(60, 4)) + 3 * np.eye(4)[labels], rng.normal(size=(9, 4))
    detector = adapt_jax.detectors.make("mahalanobis?covariance=within")
    state = detector.fit(X, labels)
    outputs = adapt_jax.Outputs(X, None, labels)
    expected = detector.score(detector.fit(outputs), adapt_jax.Outputs(other))
    np.testing.assert_array_equal(detector.score(state, other), expected)
    with pytest.raises(adapt_jax.InputError, match="needs the labels"):
        detector.fit(X)
    vim = adapt_jax.detectors.make("residual?dim=2")
    head = adapt_jax.Head(rng.normal(size=(4, 3)), np.zeros(3))
    assert vim.score(vim.fit(X, labels, val=other, head=head), other).shape == (9,)
