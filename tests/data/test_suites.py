"""OOD strings and suites."""

import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.data import SUITES, OodSet, Suite, check, class_lists, parse_ood, resolve, suites
from adapt_jax.data.download.catalogue import ARCHIVES, NEEDS
from adapt_jax.data.formats import annotated
from adapt_jax.data.set_names import SHIFTED
from adapt_jax.text_bank import class_names


@pytest.fixture(autouse=True)
def _no_root(monkeypatch):
    monkeypatch.delenv("ADAPT_JAX_DATA", raising=False)


def test_parse_ood():
    text = "near/cifar100=npz:c100.npz?classes=0-5&limit=9, far/signs=folder:gtsrb,x-1=digits"
    assert parse_ood(text) == (
        OodSet("near", "cifar100", "npz:c100.npz?classes=0-5&limit=9"),
        OodSet("far", "signs", "folder:gtsrb"),
        OodSet("ood", "x-1", "digits"),
    )
    assert resolve(text) == Suite("", parse_ood(text))
    assert resolve(text).id_test.source == ""
    assert parse_ood("shifted/v2=folder:v2")[0].group == SHIFTED


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "bad OOD set"),
        ("near/a=digits,", "bad OOD set ''"),
        ("near/a", "bad OOD set"),
        ("near/a=", "bad OOD set"),
        ("=digits", "bad OOD set"),
        ("/a=digits", "bad OOD set"),
        ("near/far/a=digits", "bad OOD set"),
        ("near/a b=digits", "bad OOD set"),
        ("near/é=digits", "bad OOD set"),
        ("near/a=digits,far/a=photos", "two OOD sets are called 'a'"),
        ("near/mean=digits", "'mean'"),
        ("near/a=digit", "did you mean 'digits'"),
        ("near/a=digits?limt=3", "options are"),
    ],
)
def test_parse_ood_refuses(text, word):
    with pytest.raises(InputError, match=word):
        parse_ood(text)


@pytest.mark.parametrize("text", ["openod", "", "digits", "digits?limit=3"])
def test_resolve_lists_the_suites(text):
    with pytest.raises(InputError, match=r"openood_cifar10.*, tfds_cifar10, tfds_cifar100"):
        resolve(text)


UNCOUNTED = {("openood_imagenet200", "id_train"), ("hard_waterbirds", "placesbg")}


@pytest.mark.parametrize("name", sorted(SUITES))
def test_suites_parse(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPT_JAX_DATA", f"{tmp_path}/my data")
    suite = resolve(name)
    assert suite.name == name
    text = ",".join(f"{s.group}/{s.name}={s.source}" for s in suite.sets)
    assert [s[:3] for s in parse_ood(text)] == [s[:3] for s in suite.sets]
    for part in (*suite.splits, *suite.sets):
        kind = part.source.partition(":")[0]
        assert kind in ("tfds", "list", "folder", "mat", *annotated.KINDS)
        assert part.source.startswith("tfds:") or f"{tmp_path}/my data/" in part.source
        assert "{root}" not in part.source
        assert ("exif=ignore" in part.source) != part.source.startswith("mat:")
        assert part.count or (name, part.name) in UNCOUNTED
    assert "{" not in suite.class_names
    assert {s.group for s in suite.sets} <= {"near", "far", "shifted", "ood"}


FAR = {"mnist": 70_000, "svhn": 26_032, "textures": 5_640}
LARGE = {"near/ssb_hard": 49_000, "near/ninco": 5_879, "far/inaturalist": 10_000}
LARGE |= {"far/textures": 5_160, "far/openimage_o": 15_869, "ood_val": 1_763}
FOUR = {f"ood/{k}": 10_000 for k in ("inaturalist", "sun", "places")} | {"ood/textures": 5_640}
CLASSIC = {"ood/isun": 8_925, "ood/textures": 5_640, "id_train": 50_000, "id_test": 10_000}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (
            "openood_cifar10",
            {"id_train": 50_000, "id_val": 1_000, "id_test": 9_000, "ood_val": 1_000}
            | {"near/cifar100": 9_000, "near/tin": 7_793, "far/places365": 35_195}
            | {f"far/{k}": n for k, n in FAR.items()}
            | {"shifted/cifar10c": 10_000},
        ),
        (
            "openood_cifar100",
            {"id_train": 50_000, "id_val": 1_000, "id_test": 9_000, "ood_val": 972}
            | {"near/cifar10": 10_000, "near/tin": 6_526, "far/places365": 33_773}
            | {f"far/{k}": n for k, n in FAR.items()},
        ),
        (
            "openood_imagenet200",
            {"id_train": None, "id_val": 1_000, "id_test": 9_000, **LARGE}
            | {"shifted/imagenet_v2": 2_000, "shifted/imagenet_c": 2_000}
            | {"shifted/imagenet_r": 30_000},
        ),
        (
            "openood_imagenet",
            {"id_train": 1_281_167, "id_val": 5_000, "id_test": 45_000, **LARGE}
            | {"shifted/imagenet_v2": 10_000, "shifted/imagenet_c": 10_000}
            | {"shifted/imagenet_r": 30_000},
        ),
        (
            "classic_cifar10",
            CLASSIC | {f"ood/{k}": 10_000 for k in ("svhn", "lsun_resize", "tiny_imagenet_resize")},
        ),
        (
            "classic_palm_cifar100",
            CLASSIC | {"ood/svhn": 26_032, "ood/places365": 10_000, "ood/lsun": 10_000},
        ),
        *(
            (f"mos_{name}", FOUR | {"id_test": count})
            for name, count in (
                ("imagenet", 50_000),
                ("imagenet_v2", 10_000),
                ("imagenet_sketch", 50_889),
                ("imagenet_a", 7_500),
                ("imagenet_r", 30_000),
                ("imagenet10", 500),
                ("imagenet20", 1_000),
                ("imagenet100", 5_000),
                ("cub", 5_794),
                ("cars", 8_041),
                ("food101", 25_250),
                ("pets", 3_669),
            )
        ),
        ("hard_imagenet10", {"id_test": 500, "near/imagenet20": 1_000, "near/imagenet100": 5_000}),
        ("hard_imagenet20", {"id_test": 1_000, "near/imagenet10": 500}),
        ("hard_imagenet100", {"id_test": 5_000, "near/imagenet10": 500}),
        ("hard_imagenet", {"id_test": 50_000, "near/imagenet_o": 2_000}),
        ("hard_waterbirds", {"id_val": 1_199, "id_test": 5_794, "near/placesbg": None}),
        (
            "openood_bimcv",
            {"id_train": 3_954, "id_val": 99, "id_test": 891, "ood_val": 54}
            | {"near/ct": 490, "near/xraybone": 200},
        ),
    ],
)
def test_counts_of_the_protocols(name, counts):
    suite = resolve(name)
    found = {s.name: s.count for s in suite.splits}
    assert found | {f"{s.group}/{s.name}": s.count for s in suite.sets} == counts


def test_sources_of_the_protocols():
    """The paths of OpenOOD's DATA_INFO; 256 then 224 for large images, except ImageNet-C."""
    small = {s.name: s.source for s in resolve("openood_cifar10").sets}
    assert small["mnist"] == (
        "list:data/benchmark_imglist/cifar10/test_mnist.txt?root=data/images_classic&exif=ignore"
    )
    assert small["textures"].startswith("list:data/benchmark_imglist/cifar10/test_texture.txt?")
    large = {s.name: s.source for s in resolve("openood_imagenet200").sets}
    assert large["textures"] == (
        "list:data/benchmark_imglist/imagenet200/test_textures.txt"
        "?root=data/images_classic&resize=256&exif=ignore"
    )
    assert large["imagenet_c"] == (
        "list:data/benchmark_imglist/imagenet200/test_imagenet200_c.txt"
        "?root=data/images_largescale&exif=ignore"
    )
    assert resolve("openood_imagenet").id_test.source == (
        "list:data/benchmark_imglist/imagenet/test_imagenet.txt"
        "?root=data/images_largescale&resize=256&exif=ignore"
    )
    assert [s.group for s in resolve("openood_imagenet200").sets if "resize" not in s.source] == [
        SHIFTED
    ]


def test_class_names_that_come_with_the_images():
    assert resolve("mos_imagenet").class_names == resolve("mos_imagenet_sketch").class_names == ""
    suite = resolve("mos_imagenet_r")
    place = "data/images_largescale/shifts/imagenet-r"
    assert suite.id_test.source.partition("?")[0] == f"folder:{place}"
    assert suite.class_names == f"wnids:{place}/README.txt"
    assert resolve("mos_pets").class_names == resolve("hard_waterbirds").class_names == "data"


def test_subsets_of_imagenet_have_their_words_in_the_lists_of_the_package():
    suite = resolve("hard_imagenet10")
    root = "folder:data/images_largescale/imagenet_1k/val"
    assert suite.id_test.source == f"{root}?only=imagenet10&exif=ignore"
    assert [s.source for s in suite.sets] == [
        f"{root}?only=imagenet20&exif=ignore",
        f"{root}?only=imagenet100&exif=ignore",
    ]
    words = class_names.load(suite.class_names)
    assert len(words) == 10
    assert words[4:6] == ("common sorrel horse", "impala (antelope)")
    lists = {n: set(class_lists.names(f"imagenet{n}")) for n in (10, 20, 100)}
    assert not lists[10] & (lists[20] | lists[100])


def test_missing_data_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPT_JAX_DATA", str(tmp_path))
    wanted = "python -m adapt_jax.data download"
    mnist = next(s for s in resolve("openood_cifar10").sets if s.name == "mnist").source
    with pytest.raises(InputError, match=f"{wanted} benchmark_imglist"):
        check(mnist)
    lists = tmp_path / "benchmark_imglist" / "cifar10" / "test_mnist.txt"
    lists.parent.mkdir(parents=True)
    lists.write_text("mnist/test/8.jpg -1\n")
    with pytest.raises(InputError, match=rf"not a folder.*{wanted} mnist"):
        check(mnist)
    (tmp_path / "images_classic").mkdir()
    with pytest.raises(InputError, match=rf"line 1: there is no file .*8\.jpg.*{wanted} mnist"):
        suites.sources.load(mnist, 32)
    for archive, part in (("svhn_mat", 0), ("LSUN_resize", 1), ("dtd", 4)):
        with pytest.raises(InputError, match=f"{wanted} {archive}"):
            check(resolve("classic_cifar10").sets[part].source)
    for name, hint in (
        ("mos_cub", f"{wanted} cub"),
        ("mos_food101", f"{wanted} food101"),
        ("mos_pets", f"{wanted} pets_annotations"),
        ("mos_cars", "fine_grained/stanford_cars the folder cars_test"),
        ("hard_waterbirds", f"{wanted} waterbirds"),
        ("openood_bimcv", f"{wanted} benchmark_imglist"),
        ("hard_imagenet10", "ImageNet needs your own copy"),
    ):
        with pytest.raises(InputError, match=hint):
            check(resolve(name).id_test.source)
    with pytest.raises(InputError, match="below the data root at waterbirds/placesbg"):
        check(resolve("hard_waterbirds").sets[0].source)
    monkeypatch.setenv("ADAPT_JAX_DATA", "a,b")
    with pytest.raises(InputError, match="','"):
        resolve("openood_cifar10")


def test_every_source_of_a_suite_lies_in_an_archive_it_needs():
    for name, needed in NEEDS.items():
        folders = [ARCHIVES[archive].folder for archive in needed]
        for part in (*SUITES[name].splits, *SUITES[name].sets):
            kind, _, place = part.source.partition(":")
            path = place.partition("?")[0].removeprefix("{root}/")
            if kind == "pets":  # two archives make its folder
                assert {f"{path.rpartition('/')[0]}/{p}" for p in ("images", "annotations")} <= {
                    *folders
                }
                continue
            inside = any(f"{path}/".startswith(f"{folder}/") for folder in folders)
            assert inside or part.source.startswith("tfds:")
    assert set(NEEDS) == {name for name in SUITES if not name.startswith("tfds_")}
    for field in ("filename", "folder", "name"):
        assert len({getattr(a, field).lower() for a in ARCHIVES.values()}) == len(ARCHIVES)
    assert all(a.url or a.by_hand for a in ARCHIVES.values())


def test_counts_are_insisted_on():
    mnist = OodSet("far", "mnist", "digits", 70_000)
    suites.check_count(mnist, 70_000, "openood_cifar10")
    suites.check_count(mnist._replace(count=None), 3)
    expected = (
        "suite openood_cifar10: set mnist has 69,990 images, the protocol has 70,000; "
        ".*verify openood_cifar10"
    )
    with pytest.raises(InputError, match=expected):
        suites.check_count(mnist, 69_990, "openood_cifar10")


def test_protocol_hash():
    first = {"a": ["x", "yz"], "b": ["é"]}
    value = suites.names_sha256(first)
    assert len(value) == 64
    assert suites.names_sha256({"b": ("é",), "a": ("x", "yz")}) == value
    others = [
        {"a": ["yz", "x"], "b": ["é"]},
        {"a": ["xy", "z"], "b": ["é"]},
        {"a": ["x", "yz", "b"], "é": []},
        {"a": ["x", "yz"]},
        {"a": ["x", "yz"], "b": ["é"], "c": []},
        {},
    ]
    assert len({value, *map(suites.names_sha256, others)}) == 7
