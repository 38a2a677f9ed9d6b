"""Weights to start from: published networks by name, where they come from and what they fit.

Facts as the projects publish them: pytorch/vision (torchvision/models/resnet.py: addresses, whose
file names carry the first 8 digits of the SHA-256, and sizes), the READMEs and test scripts of
Jingkang50/OpenOOD, sudarshanregmi/ReweightOOD, deeplearning-wisc/cider and jeff024/PALM.
JINHYUKSUH/ADAPT publishes no checkpoint. CLIP's names are those of mlfoundations/open_clip
(src/open_clip/pretrained.py) and of the model cards of openai/CLIP.
"""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.data.download import store
from adapt_jax.data.download.catalogue import DRIVE, Archive, data_root

FOLDER = "weights"  # below the data root
TORCHVISION = "https://download.pytorch.org/models/"
OF_TORCHVISION = "BSD-3-Clause, ImageNet's terms"
OF_OPENOOD = "MIT"
IMAGENET = "MIT, ImageNet's terms"


class Weights(NamedTuple):
    """A published network.

    archive: its file, or an archive of several networks.
    fits: fields of a config, as `--config.` takes them, that the network needs.
    member: pattern of the network's file inside the archive; "" where the file is the network.
    mebibytes: size of the file as published, None where it is not.
    """

    archive: Archive
    fits: str
    member: str = ""
    mebibytes: float | None = None


class HubModel(NamedTuple):
    """A repository of the Hugging Face hub that `clip.path` takes."""

    name: str
    what: str
    licence: str


def _torchvision(name: str, filename: str, mebibytes: float, what: str) -> Weights:
    digits = filename.removesuffix(".pth").rpartition("-")[2]
    url = f"{TORCHVISION}{filename}"
    archive = Archive(
        f"torchvision_{name}", filename, FOLDER, url, what, OF_TORCHVISION, None, digits, url
    )
    model = name.removesuffix("_v2")
    return Weights(archive, f"model.name={model} model.stem=imagenet", "", mebibytes)


def _runs(name: str, drive_id: str, member: str, fits: str, what: str, licence: str) -> Weights:
    page = f"https://drive.google.com/file/d/{drive_id}"
    archive = Archive(
        name, f"{name}.zip", f"{FOLDER}/{name}", DRIVE.format(drive_id), what, licence,
        by_hand=f"in a browser: {page} (Google limits how often a file may be fetched per day)",
    )  # fmt: skip
    return Weights(archive, fits, f"{member}/s0/best.ckpt")


def _by_hand(name: str, filename: str, fits: str, what: str, licence: str, page: str) -> Weights:
    return Weights(Archive(name, filename, FOLDER, "", what, licence, by_hand=page), fits)


_EMBEDS = "a method that embeds"
_CIFAR18 = "model.name=resnet18 model.stem=cifar"
_LARGE18 = "model.name=resnet18 model.stem=imagenet"
# fmt: off
_ALL = (
    _torchvision("resnet18", "resnet18-f37072fd.pth", 44.661, "ResNet-18, ImageNet-1k"),
    _torchvision("resnet34", "resnet34-b627a593.pth", 83.275, "ResNet-34, ImageNet-1k"),
    _torchvision("resnet50", "resnet50-0676ba61.pth", 97.781, "ResNet-50, ImageNet-1k (V1)"),
    _torchvision("resnet50_v2", "resnet50-11ad3fa6.pth", 97.79, "ResNet-50, ImageNet-1k (V2)"),
    _torchvision("resnet101", "resnet101-63fe2227.pth", 170.511, "ResNet-101, ImageNet-1k (V1)"),
    _torchvision("resnet101_v2", "resnet101-cd907fc2.pth", 170.53, "ResNet-101, ImageNet-1k (V2)"),
    # OpenOOD v1.5 and what builds on it: three runs s0, s1, s2 per archive; the name takes s0.
    _runs("openood_cifar10", "1byGeYxM_PlLjT72wZsMQvP6popJeWBgt",
          "cifar10_resnet18_32x32_base_e100_lr0.1_default",
          f"method.name=cross_entropy {_CIFAR18}", "ResNet-18, CIFAR-10, cross-entropy",
          OF_OPENOOD),
    _runs("openood_cifar100", "1s-1oNrRtmA0pGefxXJOUVRYpaoAML0C-",
          "cifar100_resnet18_32x32_base_e100_lr0.1_default",
          f"method.name=cross_entropy {_CIFAR18}", "ResNet-18, CIFAR-100, cross-entropy",
          OF_OPENOOD),
    _runs("openood_imagenet200", "1ddVmwc8zmzSjdLUO84EuV4Gz1c7vhIAs",
          "imagenet200_resnet18_224x224_base_e90_lr0.1_default",
          f"method.name=cross_entropy {_LARGE18}", "ResNet-18, ImageNet-200, cross-entropy",
          IMAGENET),
    _runs("reweightood_cifar10", "1rGcwveiqhz2a0UIbBgetG3fKSLDv_ZH7",
          "cifar10_cider_net_reweightood_e100_lr0.1_default",
          f"{_EMBEDS}, {_CIFAR18}", "ResNet-18, CIFAR-10, ReweightOOD", OF_OPENOOD),
    _runs("reweightood_cifar100", "13a3fBplLfIJ2VxXCNlsyXXP9Wv3rm1e7",
          "cifar100_cider_net_reweightood_e100_lr0.1_default",
          f"{_EMBEDS}, {_CIFAR18}", "ResNet-18, CIFAR-100, ReweightOOD", OF_OPENOOD),
    _runs("reweightood_imagenet200", "1lDZe16iye7c1llXosSFM5P5TGYHZp08B",
          "imagenet200_cider_net_reweightood_e90_lr0.1_default",
          f"{_EMBEDS}, {_LARGE18}", "ResNet-18, ImageNet-200, ReweightOOD", IMAGENET),
    _runs("reweightood_imagenet", "1DEq7Tppr_7vX-246zXeAmSNl4UBX-otp",
          "imagenet_cider_net_reweightood_e30_lr0.001_default",
          f"{_EMBEDS}, model.name=resnet50 model.stem=imagenet",
          "ResNet-50, ImageNet-1k, ReweightOOD", IMAGENET),
    # Folders of web pages, which give no single file to a program.
    _by_hand("cider_cifar10", "cider_cifar10.pth", f"{_EMBEDS}, {_CIFAR18}",
             "ResNet-18, CIFAR-10, CIDER", "none stated",
             "take ckpt_c10/checkpoint_500.pth.tar from "
             "https://drive.google.com/drive/folders/1rkXQYHcaITZCj55OLNXqy_b-yjktONrn"),
    _by_hand("cider_cifar100", "cider_cifar100.pth", f"{_EMBEDS}, model.name=resnet34",
             "ResNet-34, CIFAR-100, CIDER", "none stated",
             "take ckpt_c100/checkpoint_500.pth.tar from "
             "https://drive.google.com/drive/folders/1SjW2kvhDQ6qcsIo5TR7eLMrcL3r6Y3QN"),
    _by_hand("palm_cifar100", "palm_cifar100.pt", f"{_EMBEDS}, model.name=resnet34",
             "ResNet-34, CIFAR-100, PALM", "MIT",
             "take the .pt file of CIFAR-100 from the page that \"Pretrained weights\" in the "
             "README of https://github.com/jeff024/PALM links"),
)
# fmt: on

WEIGHTS = {weights.archive.name: weights for weights in _ALL}

_OPENAI, _LAION = "code: MIT (openai/CLIP)", "see its page"
HUB = (
    HubModel("openai/clip-vit-base-patch32", "CLIP ViT-B/32 of OpenAI", _OPENAI),
    HubModel("openai/clip-vit-base-patch16", "CLIP ViT-B/16 of OpenAI", _OPENAI),
    HubModel("openai/clip-vit-large-patch14", "CLIP ViT-L/14 of OpenAI", _OPENAI),
    HubModel("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "CLIP ViT-B/32 of OpenCLIP", _LAION),
    HubModel("laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "CLIP ViT-B/16 of OpenCLIP", _LAION),
    HubModel("laion/CLIP-ViT-L-14-laion2B-s32B-b82K", "CLIP ViT-L/14 of OpenCLIP", _LAION),
    HubModel("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "CLIP ViT-H/14 of OpenCLIP", _LAION),
)


def is_name(text: str) -> bool:
    """Whether this asks for weights by name: without a folder and without the suffix of a file."""
    return bool(text) and not Path(text).suffix and Path(text).name == text


def obtain(name: str, report_progress: Callable[[str], None] = lambda text: None) -> Path:
    """The file of named weights, fetched into the data root and verified if it is not there.

    Args:
      name: a key of `WEIGHTS`.
      report_progress: function called with a line before a download.

    Raises:
      InputError: no weights have that name, they cannot be fetched (the message names the page and
        the place of the file), or they are not what they should be.
    """
    if name not in WEIGHTS:
        close = difflib.get_close_matches(name, WEIGHTS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(
            f"no weights are called {name!r}{hint}; python -m adapt_jax.data list weights shows "
            "the names, and a file of yours ends in .npz, .safetensors or .pth"
        )
    weights, root = WEIGHTS[name], data_root()
    if not store.present(weights.archive, root) and weights.archive.url:
        host = weights.archive.url.split("/")[2]
        report_progress(f"fetching {name} from {host} into {store.place(weights.archive, root)}")
    store.obtain(weights.archive, root)
    place = store.place(weights.archive, root)
    if not weights.member:
        return place
    files = sorted(place.rglob(weights.member))
    if len(files) != 1:
        raise InputError(
            f"{place} has {len(files)} files {weights.member}, expected one; delete the folder to "
            "fetch it again, or give the path of the file"
        )
    return files[0]
