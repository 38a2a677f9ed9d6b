"""Which images are predicted."""

import pytest
from PIL import Image

from adapt_jax import predict
from adapt_jax.core.errors import InputError


def test_folders_are_walked_as_data_sources_walk_them(tmp_path):
    """Links are followed, but never in a circle; hidden files and other files are left alone."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (root := tmp_path / "root").mkdir()
    for path in (elsewhere / "a.png", root / "b.JPG", root / ".hidden.png", root / "c.txt"):
        Image.new("RGB", (4, 4)).save(path, "PNG")
    (root / "linked").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(root)
    found = [str(p.relative_to(root)) for p in predict.expand([str(root)])]
    assert found == ["b.JPG", "linked/a.png"]
    assert predict.expand([str(root / "c.txt")]) == [root / "c.txt"]  # named, so it is meant
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no image in it"):
        predict.expand([str(empty)])
