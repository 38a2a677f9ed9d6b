"""Protocols of zero-shot detection with CLIP.

    mos_imagenet    the four sets of MOS (iNaturalist, SUN, Places, Textures) against ImageNet-1k's
                    whole validation set, as MCM, NegLabel and AdaNeg are evaluated
    mos_imagenet_*  the same four against ImageNet-V2, -Sketch, -A and -R as ID (NegLabel, CSP)
    mos_imagenetN   against 10, 20 or 100 of ImageNet's classes, all their validation images
    mos_cub, _cars, _food101, _pets
                    against the test images of data sets of birds, cars, dishes and cats and dogs
    hard_imagenetN  one subset of ImageNet as ID and another as OOD (MCM, NegLabel, CSP)
    hard_imagenet   ImageNet-1k against ImageNet-O (CSP)
    hard_waterbirds WaterBirds' test images against their backgrounds without a bird

The official programs agree on the classes of ImageNet-10, -20 and -100 and differ in the rest:

* Images. MCM (deeplearning-wisc/MCM, utils/train_eval_util.py) takes the test splits of the four
  data sets, as here; CSP (MengyuanChen21/NeurIPS2024-CSP, custom_config/) all birds, dishes and
  pets, and the test cars. With ImageNet-20 as ID, MCM takes the training images of ImageNet-10 as
  OOD; CSP takes validation images, as here.
* Names. NegLabel, CSP and YBZh/OpenOOD-VLM prompt with OpenAI's names of ImageNet's classes, which
  the lists in `class_lists` hold; MCM with names of its own for ImageNet-10 and -20 ("horse" for
  "common sorrel horse") and with the old names for ImageNet-100. The other data sets bring their
  names; those in the programs differ from them in case, order and underscores only.
* WaterBirds. NegLabel's reader (mmcls/datasets/ood_dataset.py, CsvDataset) takes the test split, as
  here, MCM's authors the validation split (their thread 7), CSP's config all images. The
  backgrounds have no published count (about 10,000 in that thread), so none is insisted on.

Subsets that are paired have no class in common. The mean over the two sets of hard_imagenet10 is in
no paper.
"""

from adapt_jax.data.protocols.base import Suite, make

_FOUR = [
    ("ood/inaturalist", "folder:{root}/mos/iNaturalist", 10_000),
    ("ood/sun", "folder:{root}/mos/SUN", 10_000),
    ("ood/places", "folder:{root}/mos/Places", 10_000),
    ("ood/textures", "folder:{root}/classic/dtd/images", 5_640),
]
_LARGE = "{root}/images_largescale"
_VAL = f"folder:{_LARGE}/imagenet_1k/val"
_SHIFTS = f"{_LARGE}/shifts"
_FINE = "{root}/fine_grained"
_BIRDS = "{root}/waterbirds"
_OF_A_CLASS = 50  # ImageNet's validation images


def _mos(name: str, id_test: str, count: int, class_names: str = "") -> Suite:
    return make(f"mos_{name}", [("id_test", id_test, count), *_FOUR], class_names)


def _readme(folder: str) -> str:
    return f"wnids:{_SHIFTS}/{folder}/README.txt"


def _subset(classes: int) -> tuple[str, int]:
    """The source of a subset of ImageNet, and its count."""
    return f"{_VAL}?only=imagenet{classes}", _OF_A_CLASS * classes


def _words(classes: int) -> str:
    return f"wnids:{{lists}}/imagenet{classes}.txt"


def _hard(classes: int, *others: int) -> Suite:
    near = [(f"near/imagenet{other}", *_subset(other)) for other in others]
    rows = [("id_test", *_subset(classes)), *near]
    return make(f"hard_imagenet{classes}", rows, _words(classes))


SUITES = (
    _mos("imagenet", _VAL, 50_000),
    _mos("imagenet_v2", f"folder:{_SHIFTS}/imagenetv2-matched-frequency-format-val", 10_000),
    _mos("imagenet_sketch", f"folder:{_SHIFTS}/sketch", 50_889),
    _mos("imagenet_a", f"folder:{_SHIFTS}/imagenet-a", 7_500, _readme("imagenet-a")),
    _mos("imagenet_r", f"folder:{_SHIFTS}/imagenet-r", 30_000, _readme("imagenet-r")),
    *(_mos(f"imagenet{n}", *_subset(n), _words(n)) for n in (10, 20, 100)),
    _mos("cub", f"cub:{_FINE}/cub/CUB_200_2011/test", 5_794, "data"),
    _mos("cars", f"cars:{_FINE}/stanford_cars/test", 8_041, "data"),
    _mos("food101", f"food101:{_FINE}/food101/food-101/test", 25_250, "data"),
    _mos("pets", f"pets:{_FINE}/pets/test", 3_669, "data"),
    _hard(10, 20, 100),
    _hard(20, 10),
    _hard(100, 10),
    make(
        "hard_imagenet",
        [("id_test", _VAL, 50_000), ("near/imagenet_o", f"folder:{_SHIFTS}/imagenet-o", 2_000)],
    ),
    make(
        "hard_waterbirds",
        [
            ("id_val", f"waterbirds:{_BIRDS}/waterbird_complete95_forest2water2/val", 1_199),
            ("id_test", f"waterbirds:{_BIRDS}/waterbird_complete95_forest2water2/test", 5_794),
            ("near/placesbg", f"folder:{_BIRDS}/placesbg", None),
        ],
        "data",
    ),
)
