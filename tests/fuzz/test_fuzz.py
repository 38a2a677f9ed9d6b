"""Whatever a file or a string holds, a command says one sentence: no traceback, no hang.

pytest tests/fuzz                                 a few thousand inputs, the same ones each time
pytest tests/fuzz --hypothesis-profile=long       3,000 new ones of every kind
"""

import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy

pytest.importorskip("hypothesis")

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adapt_jax import config, detectors, methods, zero_shot_detectors
from adapt_jax.clip.weights import config_files
from adapt_jax.config import fields, zero_shot
from adapt_jax.core.errors import InputError
from adapt_jax.data import decode, sources, streams, suites
from adapt_jax.evaluate import feature_files
from adapt_jax.models import weight_files
from adapt_jax.results import merge, result_files, result_rows
from adapt_jax.results.scores import load_scores
from adapt_jax.runtime import cli
from adapt_jax.text_bank import class_names, corpus, prompts
from adapt_jax.workdir import bundle, checkpoints, logbook
from adapt_jax.zero_shot import feature_files as embedding_files
from tests.fuzz import inputs

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One that every input of a test overwrites."""
    return tmp_path_factory.mktemp("fuzz")


def write(path, content):
    """Over what was there: a file that is emptied first waits for the disk when it is closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.truncate()


def survives(job, *arguments, **named):
    """The result, or None where the input is refused; any other exception is a bug."""
    try:
        return job(*arguments, **named)
    except (InputError, OSError):
        return None


IMAGES = [
    inputs.image("PNG"), inputs.image("PNG", "P"), inputs.image("PNG", "I;16"),
    inputs.image("JPEG"), inputs.image("GIF", "P"), inputs.image("BMP"), inputs.image("PPM"),
    inputs.image("TIFF"), inputs.image("TIFF", "L", compression="tiff_lzw"), inputs.image("WEBP"),
]  # fmt: skip


@given(st.sampled_from(IMAGES).flatmap(inputs.damaged), st.sampled_from([None, 16, "stretch"]))
def test_images(folder, content, resize):
    Image.MAX_IMAGE_PIXELS, before = 1 << 20, Image.MAX_IMAGE_PIXELS
    try:
        write(folder / "x.png", content)
        survives(decode.read, folder / "x.png", 8, resize)
    finally:
        Image.MAX_IMAGE_PIXELS = before


WEIGHTS = {"fc.weight": np.ones((3, 4), np.float32), "fc.bias": np.zeros(3, np.float32)}


@given(inputs.damaged(inputs.npz(**WEIGHTS)))
def test_weights_npz(folder, content):
    write(folder / "w.npz", content)
    survives(weight_files.read, str(folder / "w.npz"))


@given(inputs.damaged(safetensors.numpy.save(WEIGHTS)))
def test_weights_safetensors(folder, content):
    write(folder / "w.safetensors", content)
    survives(weight_files.read, str(folder / "w.safetensors"))


@given(inputs.damaged((GOLDEN / "torch_checkpoint.pth").read_bytes()))
def test_weights_of_pytorch(folder, content):
    write(folder / "w.pth", content)
    survives(weight_files.read, str(folder / "w.pth"), allow_pickle=True)


@given(inputs.damaged(inputs.npz(scores=np.ones(3, np.float32), names=np.array(["a", "b", "c"]))))
def test_scores(folder, content):
    write(folder / "s.npz", content)
    survives(load_scores, folder / "s.npz")


def results():
    rows = [
        result_rows.row(d, ood, group, np.linspace(0.3, 1, 9), np.linspace(0, 0.8, 7))
        for d in ("knn", "msp")
        for ood, group in (("a", "near"), ("b", "far"))
    ]
    head = result_files.header(
        protocol="p", id="i", seed=1, method="adapt", model="r", checkpoint_sha256="ab"
    )
    settings = config.default_config().to_dict()
    return head | {"id_accuracy": 0.5, "config": settings, "rows": rows}


RESULTS = results()


@given(inputs.changed(RESULTS), st.sampled_from(merge.FORMATS))
def test_results(folder, content, kind):
    write(folder / "results.json", json.dumps(content))

    def shown():
        rows = merge.merge([f"{folder}"])
        merge.ties_between([f"{folder}"])
        return merge.text(rows, kind)

    text = survives(shown)
    assert text is None or "nan" not in text.lower()


@given(inputs.damaged(json.dumps(RESULTS).encode()))
def test_damaged_results(folder, content):
    write(folder / "results.json", content)
    survives(result_files.read, folder)


SETTINGS = [config.default_config(name).to_dict() for name in sorted(methods.names())]


@given(st.sampled_from(SETTINGS).flatmap(inputs.changed))
def test_configs_of_runs(folder, content):
    write(folder / "config.json", json.dumps(content))
    survives(lambda: fields.check(config.completed(checkpoints.recall_config(folder))))


@given(inputs.damaged(b'{"train_fingerprint": "ab", "num_images": 3, "class_names": ["a"]}'))
def test_data_of_runs(folder, content):
    write(folder / "data.json", content)
    survives(checkpoints.recall_data, folder)
    survives(checkpoints.class_names, folder)
    survives(checkpoints.check_data, folder, {"train_fingerprint": "ab"})


@given(inputs.damaged(b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": null}\n'))
def test_records_of_runs(folder, content):
    write(folder / logbook.FILE, content)
    survives(logbook.read, folder)


CARD = {"format": bundle.FORMAT, "step": 3, "files": {n: {"sha256": "a"} for n in bundle.FILES}}


@given(inputs.changed(CARD))
def test_cards_of_exports(folder, content):
    for name in (bundle.CARD, bundle.DATA, bundle.CONFIG):
        write(folder / name, json.dumps(content))
    survives(bundle.is_export, folder)
    survives(bundle.verify, folder)
    survives(bundle.class_names, folder)
    survives(bundle.check_data, folder, {"train_fingerprint": "ab"})


@given(inputs.damaged(json.dumps(CARD).encode()))
def test_damaged_cards_of_exports(folder, content):
    write(folder / bundle.CARD, content)
    survives(bundle.is_export, folder)
    survives(bundle.verify, folder)


WORDS = st.sampled_from(
    [*detectors.names(), *zero_shot_detectors.names(), "all", "?", "&", "=", ",", "k", "alpha",
     "k=5", "temperature", "percentile=90", "-1", "1e400", "nan", "True", "[1]", "{", "'"]
)  # fmt: skip


@given(st.lists(WORDS | inputs.TEXT, max_size=6).map("".join))
def test_detectors(text):
    survives(detectors.parse, text)
    survives(zero_shot_detectors.parse, text)


PARTS = st.sampled_from(
    ["digits", "photos", "folder", "list", "npz", "mat", ":", "?", "&", "=", "/", "train", "test",
     "classes", "per_class", "sample", "limit", "resize", "root", "0-3", "1,2", "-1", "9" * 30,
     "stretch", "near/a=", ",", "far", "grey", "openood_cifar10", "..", "\0"]
)  # fmt: skip


@given(st.lists(PARTS | inputs.TEXT, max_size=7).map("".join))
def test_sources(text):
    survives(sources.check, text)
    survives(suites.resolve, text)
    survives(suites.parse_ood, text)


@pytest.fixture(scope="module")
def pictures(folder):
    """A few files that a list may name."""
    for name in ("a.png", "b b.png", "café.png"):
        write(folder / name, IMAGES[0])
    return folder


@given(
    inputs.damaged("a.png 0\nb b.png 1\ncafé.png 2\n/etc/hostname -1\n../x.png 3\n".encode()),
    st.sampled_from(["", "?limit=2", "?classes=0-1", "?per_class=1", "?sample=2"]),
)
def test_image_lists(pictures, content, options):
    write(pictures / "list.txt", content)
    for labeled in (False, True):
        found = survives(
            sources.load, f"list:{pictures}/list.txt{options}", 8, labeled=labeled, at_most=0
        )
        assert found is None or len(found.images) > 0


@given(
    st.fixed_dictionaries(
        {}, optional={"images": inputs.array(3, 8, 8, 3), "labels": inputs.array(3)}
    )
)
def test_arrays_of_images(folder, arrays):
    write(folder / "x.npz", inputs.npz(**arrays))
    survives(sources.load, f"npz:{folder}/x.npz", 8, labeled=True, cache_dir=str(folder / "cache"))


@given(inputs.damaged(inputs.npz(images=np.zeros((3, 8, 8, 3), np.uint8), labels=np.arange(3))))
def test_damaged_arrays_of_images(folder, content):
    write(folder / "y.npz", content)
    survives(sources.load, f"npz:{folder}/y.npz", 8, cache_dir=str(folder / "cache"))


SETS = ("train", "id", "near/a")


def outputs(count):
    optional = {
        "logits": inputs.array(count, 3),
        "labels": inputs.array(count) | st.just(np.arange(count) % 3),
        "names": st.just(np.array(["x"] * count)) | inputs.array(count),
        "other": inputs.array(2),
    }
    return st.fixed_dictionaries({"features": inputs.array(count, 4)}, optional=optional)


@given(st.tuples(outputs(6), outputs(4), outputs(5)))
def test_folders_of_features(folder, sets):
    root = folder / "features"
    for name, arrays in zip(SETS, sets):
        write(root / f"{name}.npz", inputs.npz(**arrays))
    survives(feature_files.load, str(root))


TRAIN = inputs.npz(features=np.eye(6, 4), labels=np.arange(6) % 3)


@given(inputs.damaged(TRAIN), st.sampled_from(SETS))
def test_folders_of_damaged_features(folder, content, which):
    root = folder / "damaged"
    for name in SETS:
        write(root / f"{name}.npz", content if name == which else TRAIN)
    survives(feature_files.load, str(root))


BANK = {"labels": np.eye(3, 4, dtype=np.float32), "negatives": np.ones((2, 4), np.float32) / 2}


@given(
    st.fixed_dictionaries(
        {}, optional={"labels": inputs.array(3, 4), "negatives": inputs.array(2, 4)}
    ),
    st.fixed_dictionaries(
        {}, optional={"embeddings": inputs.array(5, 4), "labels": inputs.array(5)}
    ),
    st.booleans(),
)
def test_folders_of_embeddings(folder, bank, images, damaged_images):
    root = folder / "embeddings"
    good = {"embeddings": np.eye(5, 4, dtype=np.float32) + 0.1}
    for name, arrays in (
        ("text", BANK if damaged_images else bank),
        ("id", images if damaged_images else good),
        ("near/a", good),
    ):
        write(root / f"{name}.npz", inputs.npz(**arrays))
    survives(embedding_files.load, str(root), full_spectrum=False)


@given(inputs.damaged("tench, Tinca tinca\ngreat white shark\n0: crane\ncafé\n".encode()))
def test_texts(folder, content):
    for suffix in (".txt", ".json", ".py"):
        write(folder / f"names{suffix}", content)
        survives(class_names.load, str(folder / f"names{suffix}"))
    write(folder / "noun.txt", content)
    survives(corpus.load, str(folder))
    survives(prompts.make, "neglabel", labels=f"file:{folder / 'noun.txt'}")


@given(inputs.changed(json.loads((GOLDEN / "hf_clip_tiny_config.json").read_text())))
def test_architectures_of_clip(content):
    survives(lambda: config_files.read(content) if isinstance(content, dict) else None)


@given(inputs.changed(json.loads((GOLDEN / "open_clip_vit_tiny_config.json").read_text())))
def test_architectures_of_open_clip(content):
    survives(lambda: config_files.read(content) if isinstance(content, dict) else None)


KEYS = st.sampled_from(
    ["epochs", "model.width", "optimizer.momentum", "mean", "method.params.beta", "a.b",
     "total_steps", "detectors", "optimizer", "report"]
)  # fmt: skip


@given(st.lists(st.tuples(KEYS | inputs.TEXT, inputs.NUMBERS.map(str) | inputs.TEXT), max_size=3))
def test_overrides(pairs):
    texts = [f"{key}={value}" for key, value in pairs]
    survives(lambda: fields.check(cli.override(config.default_config(), texts)))
    survives(lambda: zero_shot.check_fields(cli.override(zero_shot.default_config(), texts)))


@given(inputs.TEXT | st.tuples(inputs.NUMBERS, inputs.NUMBERS).map(lambda p: f"{p[0]}:{p[1]}"))
def test_mixes(text):
    survives(streams.make, order="shuffled", batch_size=4, mix=text, seed=0, full_spectrum=False)
