"""Noise images: of five kinds, in their ranges, the same ones every time."""

import numpy as np

from adapt_jax.zero_shot import noise_images


def test_five_kinds_of_noise():
    images = noise_images.make(20)
    assert images.shape == (15, 20, 20, 3)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, noise_images.make(20))
    kinds = images.reshape(5, -1)
    gaussian, uniform, poisson, gamma, binary = kinds
    assert (kinds.min(), kinds.max()) == (0, 1)
    for scaled in (gaussian, poisson, gamma):  # over the three images together
        assert (scaled.min(), scaled.max()) == (0, 1)
    assert abs(uniform.mean() - 0.5) < 0.02
    assert abs(gaussian.std() / np.ptp(gaussian)) < 0.2 < uniform.std()
    assert len(np.unique(poisson)) < 20
    assert np.median(gamma) < gamma.mean()  # skewed
    assert np.unique(binary).tolist() == [0, 1]
