"""Data sets: where they come from, how they are decoded, and how they are augmented.

| file | what |
| --- | --- |
| sources.py | a source string ("digits", "folder:DIR", "tfds:cifar10:test", ...) -> a `Dataset` |
| base.py | `Dataset`, `Source`, and the `Listing` that each format returns |
| formats/embedded.py | digits, photos: images that come with a dependency |
| formats/folders.py | folder, list: image files |
| formats/arrays.py | npz, mat |
| formats/cifar.py, formats/annotated.py | sets as their authors distribute them |
| formats/tfds.py | tfds: TensorFlow Datasets, read without TensorFlow |
| formats/prepare_tfds.py | the only module that may use TensorFlow, in its own process |
| decode.py | image files and arrays -> square uint8 RGB, with the rules written down |
| selection.py | the options of a source (`?classes=`, `?limit=`): which images, and their labels |
| classes.py | the one rule by which the labels of a set are matched with the ID classes |
| given.py | images that a program hands over: paths, PIL images, uint8 arrays |
| contents.py, unreadable.py | what identifies image files; files that cannot be read |
| set_names.py | the names of sets beside OOD sets: id, val, ood_val, shifted |
| cache.py | decoded arrays kept on disk |
| lazy.py | sets that are not decoded beforehand, with the indexing of an array |
| feature_folders.py | folders of arrays that another program made |
| suites.py | a line of OOD sets, or the name of a suite -> its sets |
| protocols/ | the suites: names, groups, sources, counts |
| class_lists/ | classes of ImageNet's subsets, for `?only=` |
| streams.py | the order in which streaming detectors see images |
| download/ | fetching, unpacking and recording the archives of the suites; `__main__.py` |
| augment/ | random crop, flip, colour jitter and normalisation, in JAX or on the host |
| workers/ | the processes that decode and crop images while a network trains |

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
