"""CUB, Cars, Food-101, Pets and WaterBirds, laid out here as their authors lay them out."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from adapt_jax.core.errors import InputError
from adapt_jax.data import sources
from adapt_jax.text_bank import class_names


def put(folder, files):
    """Writes texts and, where there is none, images of one colour, the number of the file."""
    for number, (name, text) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(path, "png")
        else:
            path.write_text(text)


def cub(folder):
    put(
        folder,
        {
            "images/002.Indigo_Bunting/a.jpg": None,
            "images/001.Chuck_will_Widow/b.jpg": None,
            "images/002.Indigo_Bunting/c.jpg": None,
            "images.txt": "1 002.Indigo_Bunting/a.jpg\n2 001.Chuck_will_Widow/b.jpg\n"
            "3 002.Indigo_Bunting/c.jpg\n",
            "train_test_split.txt": "1 0\n2 0\n3 1\n",
            "classes.txt": "1 001.Chuck_will_Widow\n2 002.Indigo_Bunting\n",
        },
    )
    return ("Chuck will Widow", "Indigo Bunting"), [1, 0], [0, 1]


def cars(folder):
    put(folder, {f"cars_test/0000{i}.jpg": None for i in (1, 2)})
    (folder / "devkit").mkdir()
    names = np.array(["AM General Hummer SUV 2000", "smart fortwo Convertible 2012"], object)
    savemat(folder / "devkit/cars_meta.mat", {"class_names": names})
    rows = np.array([("00001.jpg", 2), ("00002.jpg", 1)], [("fname", object), ("class", np.uint8)])
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": rows})
    return tuple(names), [1, 0], [0, 1]


def food101(folder):
    put(
        folder,
        {
            "images/cup_cakes/7.jpg": None,
            "images/apple_pie/5.jpg": None,
            "meta/test.txt": "apple_pie/5\ncup_cakes/7\n",
            "meta/classes.txt": "apple_pie\ncup_cakes\n",
            "meta/labels.txt": "Apple pie\nCup cakes\n",
        },
    )
    return ("Apple pie", "Cup cakes"), [0, 1], [1, 0]


def pets(folder):
    put(
        folder,
        {
            "images/american_bulldog_3.jpg": None,
            "images/Abyssinian_12.jpg": None,
            "annotations/test.txt": "Abyssinian_12 1 1 1\namerican_bulldog_3 2 2 1\n",
        },
    )
    return ("Abyssinian", "american bulldog"), [0, 1], [1, 0]


def waterbirds(folder):
    rows = ["1,a/x.jpg,0,2,0,p", "2,b/y.jpg,1,0,1,p", "3,b/z.jpg,1,2,0,p"]
    put(
        folder,
        {
            "a/x.jpg": None,
            "b/y.jpg": None,
            "b/z.jpg": None,
            "metadata.csv": "\n".join(
                ["img_id,img_filename,y,split,place,place_filename", *rows, ""]
            ),
        },
    )
    return ("landbirds", "waterbirds"), [0, 1], [0, 2]


SETS = (cub, cars, food101, pets, waterbirds)


@pytest.fixture(params=SETS, ids=lambda make: make.__name__)
def made(request, tmp_path):
    kind, folder = request.param.__name__, tmp_path / "set"
    folder.mkdir()
    return kind, folder, *request.param(folder)


def test_images_labels_and_names_of_a_split(made):
    kind, folder, words, labels, colours = made
    found = sources.load(f"{kind}:{folder}/test?exif=ignore", 4)
    assert class_names.words(found.class_names) == words
    assert found.labels.tolist() == labels
    assert found.images[:, 0, 0, 0].tolist() == colours
    assert found.content_sha256 == sources.load(f"{kind}:{folder}/test", 4).content_sha256


def test_what_is_missing_is_named(made):
    kind, folder, *_ = made
    with pytest.raises(InputError, match=rf"names no split; write {kind}:DIR/tr.* or {kind}:DIR/"):
        sources.check(f"{kind}:{folder}")
    image = next(p for p in folder.rglob("*.jpg") if p.parent.name != "b")
    image.unlink()
    with pytest.raises(InputError, match=f"there is no file {image}"):
        sources.load(f"{kind}:{folder}/test", 4)
    for path in folder.rglob("*"):
        if path.suffix in (".txt", ".csv", ".mat"):
            path.unlink()
    with pytest.raises(InputError, match=f"{kind}:.*there is no file {folder}/"):
        sources.check(f"{kind}:{folder}/test")


@pytest.mark.parametrize(
    ("make", "file", "text", "message"),
    [
        (cub, "images.txt", "1 003.Else/a.jpg\n", r"not as they are distributed.*003\.Else"),
        (cub, "train_test_split.txt", "1 1\n2 1\n3 1\n", "name 0 images of 2 classes"),
        (food101, "meta/labels.txt", "Apple pie\n", "2 classes and 1 labels"),
        (pets, "annotations/test.txt", "Abyssinian_12 0\n", "not as they are distributed"),
        (pets, "annotations/test.txt", "Abyssinian_12\n", "not as they are distributed"),
        (waterbirds, "metadata.csv", "a,b\n1,2\n", "not as they are distributed.*split"),
        (waterbirds, "metadata.csv", "img_filename,y,split\na/x.jpg,5,2\n", "not all of these"),
        (cars, "cars_test_annos_withlabels.mat", "no", "not a readable .mat file"),
    ],
)
def test_files_that_say_something_else_are_refused(tmp_path, make, file, text, message):
    make(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=message):
        sources.load(f"{make.__name__}:{tmp_path}/test", 4)
