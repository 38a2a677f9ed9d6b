"""Protocols of trained networks.

    openood_*       OpenOOD v1.5: its image lists, near and far, and the covariate-shifted ID sets
                    of its full-spectrum tables (without ImageNet-ES, added after they were made)
    openood_bimcv   its lists of X-rays, and the two near sets that AdaNeg is evaluated on
    classic_*       ADAPT's list of sets for 32x32 images, the whole CIFAR test set as ID
    classic_palm_*  PALM's list
    tfds_*          what TensorFlow Datasets offers; no published protocol

The classic protocols average over all their sets and tell no near from far, so their group is
"ood". ADAPT takes the first 1,000 images of each SVHN digit; it drops each set's last partial
batch, we drop no image. PALM takes all of SVHN, squashes every image to 32x32 and draws 10,000 of
Places365; its draw is repeated here over the files in order of name, but has not been compared with
the authors' own.

BIMCV's counts are those of the lists as moxime/ooddict keeps them (data/benchmark_imglist/covid, at
a4cb1ff); the log in YBZh/OpenOOD-VLM (scripts/ood/adaneg/bimcv.sh) has the same totals. OpenOOD
also names far sets for it (MNIST, CIFAR-10, Textures, Tiny-ImageNet), which AdaNeg leaves out.
"""

from collections.abc import Sequence

from adapt_jax.data.protocols.base import Row, Suite, make


def _openood(name: str, rows: Sequence[Row], class_names: str = "") -> Suite:
    """rows: (as in `make`, image list, count). Large images: resize 256, cut 224, except -C."""
    large = "imagenet" in name

    def source(lines: str) -> str:
        classic = not large or lines.endswith("textures")
        root = "images_classic" if classic else "images_largescale"
        root = "images_medical" if lines.startswith("covid/") else root
        resize = "&resize=256" if large and not lines.endswith("_c") else ""
        return f"list:{{root}}/benchmark_imglist/{lines}.txt?root={{root}}/{root}{resize}"

    return make(name, [(label, source(lines), count) for label, lines, count in rows], class_names)


def _cifar(name: str, rows: Sequence[Row]) -> Suite:
    """With CIFAR's own split as ID."""
    cifar = f"tfds:{name.rpartition('_')[2]}"
    splits = [("id_train", f"{cifar}:train", 50_000), ("id_test", f"{cifar}:test", 10_000)]
    return make(name, [*splits, *rows])


def _large_ood(folder: str) -> list[tuple[str, str, int]]:
    return [
        ("ood_val", f"{folder}/val_openimage_o", 1_763),
        ("near/ssb_hard", f"{folder}/test_ssb_hard", 49_000),
        ("near/ninco", f"{folder}/test_ninco", 5_879),
        ("far/inaturalist", f"{folder}/test_inaturalist", 10_000),
        ("far/textures", f"{folder}/test_textures", 5_160),
        ("far/openimage_o", f"{folder}/test_openimage_o", 15_869),
    ]


def _tfds(near: str) -> list[tuple[str, str, int]]:
    return [
        (f"near/{near}", f"tfds:{near}:test", 10_000),
        ("far/svhn", "tfds:svhn_cropped:test", 26_032),
        ("far/textures", "tfds:dtd:train+validation+test", 5_640),
        ("far/mnist", "tfds:mnist:test", 10_000),
    ]


_ADAPT = [
    ("ood/svhn", "mat:{root}/classic/svhn/test_32x32.mat?per_class=1000", 10_000),
    ("ood/lsun_resize", "folder:{root}/classic/LSUN_resize", 10_000),
    ("ood/isun", "folder:{root}/classic/iSUN", 8_925),
    ("ood/tiny_imagenet_resize", "folder:{root}/classic/Imagenet_resize", 10_000),
    ("ood/textures", "folder:{root}/classic/dtd/images", 5_640),
]
_PALM = [
    ("ood/svhn", "mat:{root}/classic/svhn/test_32x32.mat", 26_032),
    ("ood/places365", "folder:{root}/classic/places365?sample=10000&resize=stretch", 10_000),
    ("ood/lsun", "folder:{root}/classic/LSUN?resize=stretch", 10_000),
    ("ood/isun", "folder:{root}/classic/iSUN?resize=stretch", 8_925),
    ("ood/textures", "folder:{root}/classic/dtd/images?resize=stretch", 5_640),
]

SUITES = (
    _openood(
        "openood_cifar10",
        [
            ("id_train", "cifar10/train_cifar10", 50_000),
            ("id_val", "cifar10/val_cifar10", 1_000),
            ("id_test", "cifar10/test_cifar10", 9_000),
            ("ood_val", "cifar10/val_tin", 1_000),
            ("near/cifar100", "cifar10/test_cifar100", 9_000),
            ("near/tin", "cifar10/test_tin", 7_793),
            ("far/mnist", "cifar10/test_mnist", 70_000),
            ("far/svhn", "cifar10/test_svhn", 26_032),
            ("far/textures", "cifar10/test_texture", 5_640),
            ("far/places365", "cifar10/test_places365", 35_195),
            ("shifted/cifar10c", "cifar10/test_cifar10c", 10_000),
        ],
    ),
    _openood(
        "openood_cifar100",
        [
            ("id_train", "cifar100/train_cifar100", 50_000),
            ("id_val", "cifar100/val_cifar100", 1_000),
            ("id_test", "cifar100/test_cifar100", 9_000),
            ("ood_val", "cifar100/val_tin", 972),
            ("near/cifar10", "cifar100/test_cifar10", 10_000),
            ("near/tin", "cifar100/test_tin", 6_526),
            ("far/mnist", "cifar100/test_mnist", 70_000),
            ("far/svhn", "cifar100/test_svhn", 26_032),
            ("far/textures", "cifar100/test_texture", 5_640),
            ("far/places365", "cifar100/test_places365", 33_773),
        ],
    ),
    _openood(
        "openood_imagenet200",
        [
            ("id_train", "imagenet200/train_imagenet200", None),
            ("id_val", "imagenet200/val_imagenet200", 1_000),
            ("id_test", "imagenet200/test_imagenet200", 9_000),
            *_large_ood("imagenet200"),
            ("shifted/imagenet_v2", "imagenet200/test_imagenet200_v2", 2_000),
            ("shifted/imagenet_c", "imagenet200/test_imagenet200_c", 2_000),
            ("shifted/imagenet_r", "imagenet200/test_imagenet200_r", 30_000),
        ],
    ),
    _openood(
        "openood_imagenet",
        [
            ("id_train", "imagenet/train_imagenet", 1_281_167),
            ("id_val", "imagenet/val_imagenet", 5_000),
            ("id_test", "imagenet/test_imagenet", 45_000),
            *_large_ood("imagenet"),
            ("shifted/imagenet_v2", "imagenet/test_imagenet_v2", 10_000),
            ("shifted/imagenet_c", "imagenet/test_imagenet_c", 10_000),
            ("shifted/imagenet_r", "imagenet/test_imagenet_r", 30_000),
        ],
    ),
    _openood(
        "openood_bimcv",
        [
            ("id_train", "covid/train_bimcv", 3_954),
            ("id_val", "covid/val_bimcv", 99),
            ("id_test", "covid/test_bimcv", 891),
            ("ood_val", "covid/val_ct", 54),
            ("near/ct", "covid/test_ct", 490),
            ("near/xraybone", "covid/test_xraybone", 200),
        ],
        class_names="bimcv",
    ),
    _cifar("classic_cifar10", _ADAPT),
    _cifar("classic_cifar100", _ADAPT),
    _cifar("classic_palm_cifar10", _PALM),
    _cifar("classic_palm_cifar100", _PALM),
    make("tfds_cifar10", _tfds("cifar100")),
    make("tfds_cifar100", _tfds("cifar10")),
)
