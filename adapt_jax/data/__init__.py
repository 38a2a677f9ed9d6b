"""Images in, arrays out: where data sets come from and how they are augmented on the device.

| file | what |
| --- | --- |
| sources.py | a source string ("digits", "folder:DIR", "tfds:cifar10:test", ...) -> a `Dataset` |
| base.py | `Dataset`, `Source`, and what a family of sources hands over |
| embedded.py | digits, photos: images that come with a dependency |
| folders.py | folder, list: image files |
| arrays.py | npz, mat |
| tfds_source.py | tfds: TensorFlow Datasets, read without TensorFlow |
| prepare_tfds.py | the one place where TensorFlow may run: its own process, once per TFDS set |
| decode.py | image files and arrays -> square uint8 RGB, with the rules written down |
| cache.py | decoded arrays kept on disk |
| lazy.py | sets that are not decoded beforehand, with the indexing of an array |
| crops.py, boxes.py | random crops from whole images, on the host; where they lie |
| workers.py, worker.py | the processes that make them while a network trains |
| suites.py | which sets a benchmark has: names, groups, sources, counts |
| catalogue.py | the archives they are made of |
| download.py, extract.py, store.py | fetching, unpacking and remembering them; `__main__.py` |
| augment.py, resample.py, jitter.py | random crop, flip, colour jitter and normalisation in JAX |

Importing this package imports NumPy only; `augment` brings JAX.
"""

from adapt_jax.data.base import Dataset, Source
from adapt_jax.data.sources import check, load, parse
from adapt_jax.data.suites import SUITES, OodSet, Suite, parse_ood, resolve

__all__ = [
    "SUITES",
    "Dataset",
    "OodSet",
    "Source",
    "Suite",
    "check",
    "load",
    "parse",
    "parse_ood",
    "resolve",
]
