"""The augmentation as a whole: distributions, identity, independence, sharding, argument checks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from adapt_jax.core.errors import InputError
from adapt_jax.data import augment
from adapt_jax.data.augment import boxes

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
OFF = {"crop_scale": (1.0, 1.0), "flip": 0.0, "jitter_probability": 0.0, "grayscale": 0.0}
DRAW = {
    "crop_scale": (0.2, 1.0),
    "crop_ratio": (3 / 4, 4 / 3),
    "flip": 0.5,
    "jitter_probability": 0.8,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "grayscale": 0.2,
}


def noise(count, height=32, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def draw(key, *shape, **changes):
    sample = augment.make_draw(**{**DRAW, **changes})
    return jax.tree.map(np.asarray, jax.jit(lambda key: sample(key, *shape))(key))


@pytest.fixture(scope="module")
def draws():
    return draw(jax.random.key(7), (5000, 4), 32, 32)


@pytest.mark.parametrize("size", [8, 32, 33])
def test_everything_off_is_the_identity_bit_for_bit(size):
    images = noise(4, size, size)
    run = augment.make(image_size=size, mean=MEAN, std=STD, views=3, **OFF)
    expected = augment.make_normalize(MEAN, STD)(jnp.asarray(images))
    out = jax.jit(run)(jax.random.key(0), images)
    assert out.shape == (4, 3, size, size, 3)
    for view in range(3):
        np.testing.assert_array_equal(out[:, view], expected)


def test_normalize_is_the_formula():
    images = noise(3, 5, 7)
    expected = (images / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(augment.make_normalize(MEAN, STD)(images), expected, atol=2e-6)
    assert augment.make_normalize(MEAN, STD, jnp.bfloat16)(images).dtype == jnp.bfloat16


def test_mean_std_equals_float64():
    images = noise(50, 9, 13, seed=3) // np.array([1, 2, 3], np.uint8)
    mean, std = augment.mean_std(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-12)
    assert mean.dtype == std.dtype == np.float64
    assert augment.mean_std(np.full((3, 4, 4, 3), 7, np.uint8))[1].tolist() == [0, 0, 0]


def test_boxes_follow_torchvisions_sampler(draws):
    """Against its algorithm written as the loop it is, on numbers of our own."""
    rng = np.random.default_rng(0)

    def sample():
        for _ in range(10):
            area = 1024 * rng.uniform(0.2, 1.0)
            aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
            width, height = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if 0 < width <= 32 and 0 < height <= 32:
                return rng.integers(33 - height), rng.integers(33 - width), height, width
        return 0, 0, 32, 32

    expected = np.array([sample() for _ in range(20000)])
    ours = draws.box.reshape(-1, 4)
    assert (ours[:, 0] + ours[:, 2] <= 32).all()
    assert (ours[:, 1] + ours[:, 3] <= 32).all()
    assert ours.min() >= 0
    for column in (*range(4), "area", "aspect"):
        a, b = (
            {"area": x[:, 2] * x[:, 3], "aspect": x[:, 3] / x[:, 2]}[column]
            if isinstance(column, str)
            else x[:, column]
            for x in (ours, expected)
        )
        grid = np.unique(np.r_[a, b])
        gap = np.abs(
            np.searchsorted(np.sort(a), grid, "right") - np.searchsorted(np.sort(b), grid, "right")
        )
        # Kolmogorov-Smirnov at 1e-4: 2.23 * sqrt(2 / 20000) = 0.0223.
        assert gap.max() / 20000 < 0.0223, column


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [(10, 100, (0, 43, 10, 13)), (100, 10, (43, 0, 13, 10)), (32, 32, (0, 0, 32, 32))],
)
def test_falls_back_to_a_central_crop(height, width, box):
    """Nothing of the whole area and an allowed aspect fits into a strip."""
    u = np.random.default_rng(0).random((50, boxes.TRIES, 4), np.float32)
    drawn = jax.jit(lambda u: boxes.draw(u, height, width, (1.0, 1.0), (3 / 4, 4 / 3), jnp))(u)
    np.testing.assert_array_equal(drawn, np.tile(box, (50, 1)))


def test_probabilities_ranges_and_orders(draws):
    n = draws.flip.size
    for rate, drawn in ((0.5, draws.flip), (0.8, draws.jitter), (0.2, draws.grey)):
        assert abs(drawn.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / n)
    assert draws.factors.min() >= 0.6
    assert draws.factors.max() <= 1.4
    np.testing.assert_allclose(draws.factors.mean(axis=(0, 1)), 1, atol=0.01)
    assert set(np.unique(draws.hue)) == set(range(-25, 26))
    orders, counts = np.unique(draws.order.reshape(-1, 4), axis=0, return_counts=True)
    assert len(orders) == 24
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    expected = n / 24
    assert ((counts - expected) ** 2 / expected).sum() < 60  # chi2(23) at 4e-5


def test_choices_and_views_are_independent(draws):
    flat = [draws.flip, draws.jitter, draws.grey, draws.hue, *np.moveaxis(draws.factors, -1, 0)]
    flat += [draws.box[..., 2] * draws.box[..., 3], draws.box[..., 0], draws.order[..., 0]]
    columns = np.stack([np.asarray(x, float).ravel() for x in flat])
    within = np.corrcoef(columns) - np.eye(len(flat))
    # A small crop can lie further down: the only dependence there is.
    within[7, 8] = within[8, 7] = 0
    assert np.abs(within).max() < 0.03
    for x in flat:
        x = np.asarray(x, float)
        assert np.abs(np.corrcoef(x.T) - np.eye(4)).max() < 0.06  # between the 4 views
        assert abs(np.corrcoef(x[:-1, 0], x[1:, 0])[0, 1]) < 0.06  # between images


def test_a_fifth_of_the_output_is_grey_and_views_differ():
    run = jax.jit(augment.make(image_size=8, mean=(0, 0, 0), std=(1, 1, 1)))
    images = noise(1500, 8, 8)
    out = np.asarray(run(jax.random.key(3), images))
    grey = (out.max(axis=-1) == out.min(axis=-1)).all(axis=(2, 3))
    assert abs(grey.mean() - 0.2) < 4 * np.sqrt(0.16 / grey.size)
    assert (np.abs(out[:, 0] - out[:, 1]).max(axis=(1, 2, 3)) > 0.01).all()
    assert out.min() >= 0
    assert out.max() <= 1
    np.testing.assert_array_equal(out, run(jax.random.key(3), images))
    assert not np.array_equal(out, run(jax.random.key(4), images))


def test_eight_devices_give_the_same_bits_as_one():
    assert jax.device_count() >= 8
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    run = augment.make(image_size=12, mean=MEAN, std=STD)
    images, key = noise(32, 12, 12), jax.random.key(5)
    one = jax.jit(run)(key, images)
    images = jax.device_put(images, rows)
    compiled = jax.jit(run, out_shardings=rows).lower(key, images).compile()
    eight = compiled(key, images)
    assert len(eight.sharding.device_set) == 8
    np.testing.assert_array_equal(np.asarray(one), np.asarray(eight))
    text = compiled.as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in text


def test_doubles_change_nothing(x64):
    key = jax.random.key(1)
    wide = draw(key, (16, 2), 8, 8)
    with jax.enable_x64(False):
        narrow = draw(key, (16, 2), 8, 8)
    jax.tree.map(np.testing.assert_array_equal, wide, narrow)
    assert all(x.dtype.itemsize <= 4 for x in wide)
    run = augment.make(image_size=8, mean=MEAN, std=STD)
    assert jax.eval_shape(run, key, noise(4, 8, 8)).dtype == jnp.float32


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"flip": 1.2}, "flip"),
        ({"flip": float("nan")}, "flip"),
        ({"jitter_probability": -0.1}, "jitter_probability"),
        ({"grayscale": 2}, "grayscale"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale"),
        ({"crop_scale": (0.8, 0.2)}, "crop_scale"),
        ({"crop_scale": (0.5, 1.5)}, "crop_scale"),
        ({"crop_ratio": (2, 1)}, "crop_ratio"),
        ({"hue": 0.6}, "hue"),
        ({"contrast": -1}, "contrast"),
        ({"views": 0}, "views"),
        ({"image_size": 0}, "image_size"),
        ({"std": (0.1, 0.0, 0.1)}, "std"),
        ({"mean": (0.5,)}, "mean"),
        ({"mean": (0.5, float("nan"), 0.5)}, "mean"),
    ],
)
def test_bad_arguments_are_named(changes, word):
    with pytest.raises(InputError, match=word):
        augment.make(**{**{"image_size": 8, "mean": MEAN, "std": STD}, **changes})
