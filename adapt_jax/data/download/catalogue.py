"""The archives the benchmarks are made of: where they come from and which folder they become.

Facts as the projects publish them: Jingkang50/OpenOOD (openood/evaluation_api/datasets.py and
scripts/download/download.py, one Google Drive file per set), the READMEs of deeplearning-wisc/cider
and MCM, jeff024/PALM, JINHYUKSUH/ADAPT and kohpangwei/group_DRO; sizes and SHA-256 from TensorFlow
Datasets' checksum files where it fetches the same file. Where they are None, the first download is
recorded and later ones must equal it.
"""

import os
from pathlib import Path
from typing import NamedTuple

from adapt_jax.core.errors import InputError

DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
WISC = "http://pages.cs.wisc.edu/~huangrui/imagenet_ood_dataset/"
BERKELEY = "https://people.eecs.berkeley.edu/~hendrycks/"
IMAGENET = "ImageNet's terms of access (non-commercial research)"
NOTE = "as the original; OpenOOD repackages it"


class Archive(NamedTuple):
    """One file to download.

    It is kept as `filename` while it is unpacked into `folder` (below the data root); a filename
    that is no archive is itself moved into `folder`. url "" means: only by hand, as `by_hand` says.
    sha256: the digest, or as many of its first digits as are published.
    """

    name: str
    filename: str
    folder: str
    url: str
    what: str
    licence: str
    size: int | None = None
    sha256: str | None = None
    by_hand: str = ""


def _drive(name: str, folder: str, drive_id: str, what: str, licence: str = NOTE) -> Archive:
    page = f"https://drive.google.com/file/d/{drive_id}"
    hint = f"in a browser: {page} (Google limits how often a file may be fetched per day)"
    url = DRIVE.format(drive_id)
    return Archive(name, f"{name}.zip", folder, url, what, licence, by_hand=hint)


def _classic(name: str, drive_id: str, what: str, licence: str = NOTE) -> Archive:
    return _drive(name, f"images_classic/{name}", drive_id, what, licence)


def _large(name: str, drive_id: str, what: str, licence: str = IMAGENET) -> Archive:
    return _drive(name, f"images_largescale/{name}", drive_id, what, licence)


def _odin(name: str, key: str, filename: str, what: str) -> Archive:
    url = f"https://www.dropbox.com/s/{key}/{filename}?dl=1"
    hint = "linked from facebookresearch/odin and jfc43/informative-outlier-mining on GitHub"
    return Archive(name, filename, f"classic/{name}", url, what, "see LSUN, iSUN", by_hand=hint)


def _mos(name: str) -> Archive:
    what = f"10,000 images of {name} without ImageNet-1k's concepts (MOS)"
    hint = "deeplearning-wisc/large_scale_ood says where the curated sets are kept"
    return Archive(
        f"mos_{name.lower()}",
        f"{name}.tar.gz",
        f"mos/{name}",
        f"{WISC}{name}.tar.gz",
        what,
        "as the original",
        by_hand=hint,
    )


def _medical(name: str, drive_id: str, what: str) -> Archive:
    return _drive(name, f"images_medical/{name}", drive_id, what)


def _pets(part: str, size: int, sha256: str, what: str) -> Archive:
    url = f"https://thor.robots.ox.ac.uk/~vgg/data/pets/{part}.tar.gz"
    page, folder = "https://www.robots.ox.ac.uk/~vgg/data/pets", f"fine_grained/pets/{part}"
    name = f"pets_{part}"
    return Archive(name, f"{name}.tar.gz", folder, url, what, "see its page", size, sha256, page)


def _shift(folder: str, filename: str, url: str, what: str, repository: str) -> Archive:
    hint = f"{repository} on GitHub says where it is kept"
    place = f"images_largescale/shifts/{folder}"
    return Archive(folder, filename, place, url, what, IMAGENET, by_hand=hint)


# fmt: off
_ALL = (
    # OpenOOD v1.5: image lists, and one archive of image files per set.
    _drive("benchmark_imglist", "benchmark_imglist", "1lI1j0_fDDvjIt9JlWAw09X8ks-yrR_H1",
           "OpenOOD's image lists (text)", "MIT"),
    _classic("cifar10", "1Co32RiiWe16lTaiOU6JMMnyUYS41IlO1", "CIFAR-10, train and test as PNG"),
    _classic("cifar100", "1PGKheHUsf29leJPPGuXqzLBMwl8qMF8_", "CIFAR-100, train and test as PNG"),
    _classic("cifar10c", "170DU_ficWWmbh6O2wqELxK9jxRiGhlJH", "10,000 images of CIFAR-10-C"),
    _classic("cifar100c", "1MnETiQh9RTxJin2EHeSoIAJA28FRonHx", "images of CIFAR-100-C"),
    _classic("tin", "1PZ-ixyx52U989IKsMA2OT-24fToTrelC", "Tiny-ImageNet", IMAGENET),
    _classic("tin597", "1R0d8zBcUxWNXz6CPXanobniiIfQbpKzn", "TIN-597, 64x64", IMAGENET),
    _classic("mnist", "1CCHAGWqA1KJTFFswuF9cbhmB-j98Y1Sb", "MNIST, train and test"),
    _classic("fashionmnist", "1nVObxjUBmVpZ6M0PPlcspsMMYHidUMfa", "Fashion-MNIST", "MIT"),
    _classic("notmnist", "16ueghlyzunbksnc_ccPgEAloRW9pKO-K", "notMNIST"),
    _classic("svhn", "1DQfc11HOtB1nEwqS4pWUFp8vtQ3DczvI", "SVHN test", "non-commercial use"),
    _classic("texture", "1OSz1m3hHfVWbRdmMwKbUzoU8Hg9UKcam", "Textures (DTD)", "research use"),
    _classic("places365", "1Ec-LRSTf6u5vEctKX9vRp9OA6tqnJ0Ay", "Places365, part of validation"),
    _large("ssb_hard", "1PzkA-WGG8Z18h0ooL_pDdz9cO-DCIouE", "SSB-hard, 49,000 of ImageNet-21k"),
    _large("ninco", "1Z82cmvIB0eghTehxOGP5VTdLt7OD3nk6", "NINCO, 5,879 images", NOTE),
    _large("inaturalist", "1zfLfMvoUD0CUlKNnkk7LgxZZBnTBipdj", "iNaturalist, 10,000 images", NOTE),
    _large("openimage_o", "1VUFXnB_z70uHfdgJG2E_pjYOcEgqM7tE", "OpenImage-O, 17,632 images", NOTE),
    _large("places", "1fZ8TbPC4JGqUCm-VtvrmkYxqRNp2PoB3", "Places (OpenOOD v1.0)", NOTE),
    _large("sun", "1ISK0STxWzWmg-_uUr4RQ8GSLFW7TZiKp", "SUN (OpenOOD v1.0)", NOTE),
    _large("imagenet_v2", "1akg2IiE22HcbvTBpwXQoD7tgfPCdkoho", "ImageNet-V2, 10,000 images"),
    _large("imagenet_c", "1JeXL9YH4BO8gCJ631c5BHbaSsl-lekHt", "ImageNet-C, 10 images per class"),
    _large("imagenet_r", "1EzjMN2gq-bVV7lg-MEAdeuBuz-7jbGYU", "ImageNet-R, 30,000 images"),
    Archive("imagenet_1k", "imagenet_1k.zip", "images_largescale/imagenet_1k", "",
            "ImageNet-1k, train/CLASS/*.JPEG and val/*.JPEG", IMAGENET,
            by_hand="ImageNet needs your own copy: https://image-net.org/download.php; put or link "
            "it below the data root at images_largescale/imagenet_1k, with folders train and val "
            "(for ImageNet-10, -20 and -100, val has a folder per class)"),
    # The classic 32x32 sets of CIDER, PALM and ADAPT.
    Archive("svhn_mat", "test_32x32.mat", "classic/svhn",
            "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
            "SVHN test, 26,032 images", "non-commercial use", 64275384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            "http://ufldl.stanford.edu/housenumbers"),
    Archive("dtd", "dtd-r1.0.1.tar.gz", "classic/dtd",
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            "Textures (DTD), 5,640 images", "research use", 625239812,
            "e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
            "https://www.robots.ox.ac.uk/~vgg/data/dtd"),
    Archive("places365_test", "test_256.tar", "classic/places365",
            "http://data.csail.mit.edu/places/places365/test_256.tar",
            "Places365 test, 328,500 images of 256x256", "see its page", 4736829440,
            "037ee8180369bdde46636341b92900d4bcb8ea000c026a1fd3e0e9827a8702a1",
            "http://places2.csail.mit.edu/download.html"),
    _odin("LSUN", "fhtsw1m3qxlwj6h", "LSUN.tar.gz", "LSUN (crop), 10,000 images"),
    _odin("LSUN_resize", "moqh2wh8696c3yl", "LSUN_resize.tar.gz", "LSUN (resize), 10,000 images"),
    _odin("iSUN", "ssz7qxfqae0cca5", "iSUN.tar.gz", "iSUN, 8,925 images (copies differ)"),
    _odin("Imagenet_resize", "kp3my3412u5k9rl", "Imagenet_resize.tar.gz",
          "Tiny-ImageNet (resize), 10,000 images"),
    # ImageNet-scale OOD sets of MOS, as MCM, NegLabel and CIDER use them (with Textures).
    _mos("iNaturalist"), _mos("SUN"), _mos("Places"),
    # ImageNet under other conditions, as ID sets of zero-shot detection (NegLabel, CSP).
    _shift("imagenetv2-matched-frequency-format-val", "imagenetv2-matched-frequency.tar.gz",
           "https://s3-us-west-2.amazonaws.com/imagenetv2public/imagenetv2-matched-frequency.tar.gz",
           "ImageNet-V2, 10,000 images in folders 0 to 999", "modestyachts/ImageNetV2"),
    _shift("sketch", "ImageNet-Sketch.zip", DRIVE.format("1Mj0i5HBthqH1p_yeXzsg22gZduvgoNeA"),
           "ImageNet-Sketch, 50,889 images", "HaohanWang/ImageNet-Sketch"),
    _shift("imagenet-a", "imagenet-a.tar", f"{BERKELEY}imagenet-a.tar",
           "ImageNet-A, 7,500 images of 200 classes", "hendrycks/natural-adv-examples"),
    _shift("imagenet-r", "imagenet-r.tar", f"{BERKELEY}imagenet-r.tar",
           "ImageNet-R, 30,000 images of 200 classes", "hendrycks/imagenet-r"),
    _shift("imagenet-o", "imagenet-o.tar", f"{BERKELEY}imagenet-o.tar",
           "ImageNet-O, 2,000 images of other classes", "hendrycks/natural-adv-examples"),
    # Fine-grained ID sets of MCM, NegLabel and CSP.
    Archive("cub", "CUB_200_2011.tgz", "fine_grained/cub",
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
            "CUB-200-2011, 11,788 images of birds", "see its page", 1150585339,
            "0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            "https://www.vision.caltech.edu/datasets/cub_200_2011"),
    Archive("stanford_cars", "stanford_cars.tar", "fine_grained/stanford_cars", "",
            "Stanford Cars, 8,041 test images", "its page is gone",
            by_hand="the page of Stanford Cars is gone; MCM's authors keep a copy at "
            "https://drive.google.com/file/d/12SGFvVBHvJM-czeK-Mw3t0OcOmh8uFnO (thread 8 of "
            "deeplearning-wisc/MCM); put below the data root at fine_grained/stanford_cars the "
            "folder cars_test, cars_test_annos_withlabels.mat and devkit/cars_meta.mat"),
    Archive("food101", "food-101.tar.gz", "fine_grained/food101",
            "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            "Food-101, 101,000 images of dishes", "see its page", 4996278331,
            "d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
            "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101"),
    _pets("images", 791918971, "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
          "Oxford-IIIT Pets, the images"),
    _pets("annotations", 19173078,
          "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
          "Oxford-IIIT Pets, which image is of which breed"),
    # WaterBirds, and its backgrounds as OOD (MCM, NegLabel, CSP).
    Archive("waterbirds", "waterbird_complete95_forest2water2.tar.gz",
            "waterbirds/waterbird_complete95_forest2water2",
            "https://nlp.stanford.edu/data/dro/waterbird_complete95_forest2water2.tar.gz",
            "WaterBirds, 11,788 birds of CUB before backgrounds of Places", "as CUB and Places",
            by_hand="kohpangwei/group_DRO on GitHub says where it is kept"),
    Archive("placesbg", "placesbg.zip", "waterbirds/placesbg", "",
            "backgrounds of Places without a bird, about 10,000", "as Places",
            by_hand="MCM's authors keep the backgrounds at "
            "https://drive.google.com/file/d/1CBe9f8yHIlQnXYmNQj45DsqB5vCT6qQ6 (thread 7 of "
            "deeplearning-wisc/MCM); unpack them below the data root at waterbirds/placesbg"),
    # OpenOOD's X-rays, CT scans and X-rays of bones.
    _medical("bimcv", "1nAA45V6e0s5FAq2BJsj9QH5omoihb7MZ", "BIMCV-COVID19+, X-rays of chests"),
    _medical("ct", "1k5OYN4inaGgivJBJ5L8pHlopQSVnhQ36", "CT scans"),
    _medical("xraybone", "1ZzO3y1-V_IeksJXEvEfBYKRoQLLvPYe9", "X-rays of bones"),
)
# fmt: on

ARCHIVES = {archive.name: archive for archive in _ALL}

_CIFAR = ("benchmark_imglist", "cifar10", "cifar100", "tin", "mnist", "svhn", "texture")
_OOD = ("ssb_hard", "ninco", "inaturalist", "texture", "openimage_o")
_IMAGENET = ("imagenet_1k", "benchmark_imglist", *_OOD, "imagenet_v2", "imagenet_c", "imagenet_r")
_ADAPT = ("svhn_mat", "LSUN_resize", "iSUN", "Imagenet_resize", "dtd")
_PALM = ("svhn_mat", "places365_test", "LSUN", "iSUN", "dtd")

_MOS = ("mos_inaturalist", "mos_sun", "mos_places", "dtd")

# Which archives a suite's sources lie in. What TensorFlow Datasets prepares is not listed.
NEEDS = {
    "openood_cifar10": (*_CIFAR, "places365", "cifar10c"),
    "openood_cifar100": (*_CIFAR, "places365"),
    "openood_imagenet200": _IMAGENET,
    "openood_imagenet": _IMAGENET,
    "classic_cifar10": _ADAPT,
    "classic_cifar100": _ADAPT,
    "classic_palm_cifar10": _PALM,
    "classic_palm_cifar100": _PALM,
    "mos_imagenet": ("imagenet_1k", *_MOS),
    "mos_imagenet_v2": ("imagenetv2-matched-frequency-format-val", *_MOS),
    "mos_imagenet_sketch": ("sketch", *_MOS),
    "mos_imagenet_a": ("imagenet-a", *_MOS),
    "mos_imagenet_r": ("imagenet-r", *_MOS),
    "mos_imagenet10": ("imagenet_1k", *_MOS),
    "mos_imagenet20": ("imagenet_1k", *_MOS),
    "mos_imagenet100": ("imagenet_1k", *_MOS),
    "mos_cub": ("cub", *_MOS),
    "mos_cars": ("stanford_cars", *_MOS),
    "mos_food101": ("food101", *_MOS),
    "mos_pets": ("pets_images", "pets_annotations", *_MOS),
    "hard_imagenet10": ("imagenet_1k",),
    "hard_imagenet20": ("imagenet_1k",),
    "hard_imagenet100": ("imagenet_1k",),
    "hard_imagenet": ("imagenet_1k", "imagenet-o"),
    "hard_waterbirds": ("waterbirds", "placesbg"),
    "openood_bimcv": ("benchmark_imglist", "bimcv", "ct", "xraybone"),
}


def data_root() -> Path:
    """$ADAPT_JAX_DATA, else "data" in the working directory.

    Raises:
      InputError: the path has a character that means something in a source string.
    """
    root = os.path.expanduser(os.environ.get("ADAPT_JAX_DATA") or "data")
    if bad := sorted(set(root) & set(",&?")):
        raise InputError(f"the data root {root} contains {bad[0]!r}, which source strings use")
    return Path(root)


def hint(path: str | os.PathLike) -> str:
    """How to get a missing file or folder, as the end of a sentence; "" if no archive has it."""
    relative = os.path.relpath(os.path.expanduser(path), data_root()).replace(os.sep, "/")
    for archive in ARCHIVES.values():
        if f"{relative}/".startswith(f"{archive.folder}/"):
            if not archive.url:
                return f"; {archive.by_hand}"
            return f"; fetch it with `python -m adapt_jax.data download {archive.name}`"
    return ""
