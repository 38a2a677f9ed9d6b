"""Profiles: phases by name, the program's FLOPs against arithmetic, summaries of real runs."""

import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from adapt_jax import profiling, train
from adapt_jax.core.errors import InputError
from adapt_jax.evaluate import job as evaluate_job
from adapt_jax.models import conv
from adapt_jax.profiling import __main__ as drawing
from adapt_jax.profiling import device_peaks, hlo, ops, summary
from adapt_jax.runtime import compilation
from tests.e2e import small
from tests.e2e.conftest import _one_device  # noqa: F401  here, too


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """A run that traced steps 5 to 8, and what its console said."""
    workdir = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(device_peaks.VARIABLE, "1e12")
        printed = []
        patch.setattr(train.terminal, "printer", lambda console: printed.append)
        chosen = {"total_steps": 10, "eval_batch_size": 128, "detectors": "knn?k=5"}
        results = train.train(small.config(profile="5:9", **chosen), str(workdir))
    return workdir, "\n".join(printed), results


def test_the_summary_of_a_run_adds_up(profiled):
    workdir, printed, _ = profiled
    found = json.loads((workdir / "profile" / "summary.json").read_text())
    assert found["steps"] == [5, 9]
    assert found["untraced"]["steps"] == 4
    assert found["traced"]["count"] == 3
    assert 0 < found["traced"]["min"] <= found["traced"]["median"] <= found["traced"]["max"]
    for name in ("augment", "forward", "sinkhorn", "loss", "backward", "update"):
        assert found["phases"][name] > 0, name
    assert found["phases"].get("other", 0) < 0.2 * found["op_seconds"]
    assert sum(found["phases"].values()) == pytest.approx(found["op_seconds"])
    assert len(found["ops"]) == 5
    assert all(op["phase"] in hlo.PHASES and 0 < op["share"] < 1 for op in found["ops"])
    shares = [op["share"] for op in found["ops"]]
    assert shares == sorted(shares, reverse=True)
    assert found["mfu"] == pytest.approx(found["flops"] / found["step_seconds"] / 1e12)
    # The state comes in and goes out in place; the images come in as well.
    assert (
        found["memory"]["arguments"] > found["memory"]["outputs"] > found["memory"]["aliased"] > 0
    )
    assert found["memory"]["host_peak"] > 1e8
    page = (workdir / "profile" / "summary.txt").read_text()
    assert page.strip() in printed
    assert (workdir / "profile" / "memory.prof").stat().st_size > 0


def test_a_profile_can_be_drawn(profiled):
    workdir, _, _ = profiled
    for path in drawing.draw(workdir / "profile"):
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5  # not blank
    with pytest.raises(InputError, match=r"summary\.json does not exist"):
        drawing.draw(workdir)


def test_flops_are_those_of_three_forward_passes(profiled):
    """3 x 2 x MACs, but for the first input's gradient and kernels that reach beyond the image."""
    workdir, _, _ = profiled
    found = json.loads((workdir / "profile" / "summary.json").read_text())
    config = small.config()
    rows, size, width = config.batch_size * config.views, config.image_size, config.model.width
    macs, channels = 9 * 3 * width * size**2, width
    for stage in range(np.count_nonzero(config.model.blocks)):
        out, stride = width * 2**stage, 1 if stage == 0 else 2
        size //= stride
        macs += size**2 * (9 * channels * out + 9 * out * out)
        macs += size**2 * channels * out if stride > 1 else 0
        channels = out
    expected = 3 * 2 * macs * rows
    assert 0.85 < found["flops"] / expected < 1.05
    # XLA's own count has the body of a loop once: a third would be missing.
    assert found["flops_compiler"] < 0.8 * found["flops"]
    assert 0 < found["flops_in_loops"] < found["flops"]


def test_inner_loops_are_counted_as_often_as_they_run():
    x, kernel = jnp.ones((12, 8, 8, 4)), jnp.ones((3, 3, 4, 5))
    hand_written = conv.Backward("matmul_backward", 2)

    def step(i, kernel):
        def loss(k):
            return jnp.sum(conv.conv2d(x, k, backward=hand_written) ** 2)

        return kernel - 1e-3 * jax.grad(loss)(kernel)

    loop = jax.jit(lambda kernel, n: jax.lax.fori_loop(0, n, step, kernel))
    program = hlo.parse(loop.lower(kernel, 3).compile().as_text())
    once, often = hlo.matrix_flops(program)
    forward = 2 * x.size * 9 * 5
    assert often == 2 * forward  # the weight's gradient costs as much, in six pieces
    assert once == forward + forward / 6


def test_phases_come_from_the_name_stack():
    named = {
        "jit(loop)/while/body/augment/jit(_uniform)/while": "augment",
        "jit(loop)/while/body/jvp(forward)/Network/encoder/conv1/add": "forward",
        "jit(loop)/while/body/transpose(jvp(forward))/Network/encoder/while/body/dot": "backward",
        "jit(loop)/while/body/jvp(loss)/sinkhorn/sub": "sinkhorn",
        "jit(loop)/while/body/vmap(jvp(loss))/mul": "loss",
        "jit(loop)/while/body/update/reduce_sum": "update",
        "jit(loss_of_something)/add": "other",
        "": "other",
    }
    assert {name: hlo.phase(name) for name in named} == named


def test_own_time_is_without_what_runs_inside():
    raw = [(0.0, -100.0, "while", "m"), (10.0, -40.0, "a", "m"), (20.0, -5.0, "b", "m"),
           (60.0, -30.0, "a", "m"), (120.0, -7.0, "b", "m")]  # fmt: skip
    own = [(e.op, round(1e9 * e.own)) for e in ops._own_times(raw)]
    assert sorted(own) == [("a", 30), ("a", 35), ("b", 5), ("b", 7), ("while", 30)]


def test_names_change_no_operation(monkeypatch):
    """The lowered step is the same text without the scopes."""
    from contextlib import nullcontext

    from tests.training import test_train_step as steps

    def lowered():
        state, step = steps.setup()
        images, labels = steps.data(4)
        return jax.jit(lambda *a: step(*a)).lower(state, images, labels).as_text()

    with_names, named = lowered(), []
    monkeypatch.setattr(jax, "named_scope", lambda name: nullcontext(named.append(name)))
    steps.made.cache_clear()  # another step, so traced once more
    assert lowered() == with_names
    assert named


def test_evaluation_traces_its_batches_and_gives_the_same_rows(profiled):
    workdir, _, results = profiled
    assert evaluate_job.evaluate_run(str(workdir), profile="2:5")["rows"] == results["rows"]
    found = json.loads((workdir / "profile" / "evaluate" / "summary.json").read_text())
    assert (found["unit"], found["steps"], found["images_per_step"]) == ("batch", [2, 5], 128)
    assert found["phases"]["forward"] > 0.5 * found["op_seconds"]
    with pytest.raises(InputError, match="--profile must be"):
        evaluate_job.evaluate_run(str(workdir), profile="5:2")


def test_a_job_without_those_steps_says_so(tmp_path):
    said = []
    function = jax.jit(lambda x: x + 1)
    about = {"what": "", "devices": "", "dtype": "float32", "images": 1}
    with profiling.calls((7, 9), tmp_path, said.append, unit="call", **about) as profile:
        watched = profile(function, function.lower)
        assert [float(watched(np.float32(i))) for i in range(3)] == [1, 2, 3]
    assert said == ["profile: nothing recorded; the job took no call of 7:9 (they count from 0)"]
    assert not list(tmp_path.iterdir())


def test_nothing_is_done_where_nothing_is_asked_for(tmp_path):
    trace = profiling.Trace(None, tmp_path, pytest.fail)
    assert trace.boundaries(0) == []
    began = time.perf_counter()
    for step in range(1000):
        with trace.around(step):
            pass
        trace.reached(step + 1)
    trace.close()
    assert time.perf_counter() - began < 0.1  # a microsecond or two a step
    with profiling.calls(None, tmp_path, pytest.fail, unit="batch") as profile:
        assert profile is None


def test_peaks(monkeypatch):
    assert device_peaks.operations("NVIDIA H200", "bfloat16")[0] == 989e12
    assert 2 * device_peaks.bandwidth("TPU7x") == 7380e9  # a chip is two devices
    value, source = device_peaks.operations("cpu", "float32")
    assert value is None
    assert "ADAPT_JAX_PEAK_FLOPS" in source
    monkeypatch.setenv(device_peaks.VARIABLE, "2e11")
    assert device_peaks.operations("NVIDIA H200", "bfloat16")[0] == 2e11
    monkeypatch.setenv(device_peaks.VARIABLE, "fast")
    with pytest.raises(InputError, match="such as 1e12"):
        device_peaks.operations("cpu", "float32")


def test_the_cache_is_used_and_noticed(tmp_path):
    """A second, identical program comes from the folder."""

    def lowered():
        jax.clear_caches()
        return jax.jit(lambda x: jnp.sin(x) @ x.T * 3.25).lower(jnp.ones((8, 8)))

    before = (
        jax.config.jax_compilation_cache_dir,
        jax.config.jax_persistent_cache_min_compile_time_secs,
    )
    from jax.experimental.compilation_cache import compilation_cache

    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        compilation_cache.reset_cache()
        timings = [compilation.timed(lowered())[1] for _ in range(2)]
    finally:
        jax.config.update("jax_compilation_cache_dir", before[0])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])
        compilation_cache.reset_cache()
    assert [t.cached for t in timings] == [False, True]


def test_the_page_of_a_device_with_a_peak():
    """The lines a GPU's page has and a CPU's lacks."""
    found = {
        "flops_per_second": 2e14, "peak_flops_per_second": 4e14, "mfu": 0.5, "peak_source": "x",
        "device_kind": "g", "dtype": "bfloat16",
    }  # fmt: skip
    assert summary._mfu(found) == "50.0 %: 200 TFLOP/s of 400 TFLOP/s (x)"
