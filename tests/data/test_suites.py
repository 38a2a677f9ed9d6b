"""OOD strings and suites."""

import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.data import SUITES, OodSet, Suite, check, parse_ood, resolve, suites
from adapt_jax.data.download.catalogue import ARCHIVES, NEEDS
from adapt_jax.data.set_names import SHIFTED


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


@pytest.mark.parametrize("name", sorted(SUITES))
def test_suites_parse(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPT_JAX_DATA", f"{tmp_path}/my data")
    suite = resolve(name)
    assert suite.name == name
    text = ",".join(f"{s.group}/{s.name}={s.source}" for s in suite.sets)
    assert [s[:3] for s in parse_ood(text)] == [s[:3] for s in suite.sets]
    for part in (*suite.splits, *suite.sets):
        assert part.source.startswith(("tfds:", "list:", "folder:", "mat:"))
        assert part.source.startswith("tfds:") or f"{tmp_path}/my data/" in part.source
        assert "{root}" not in part.source
        assert ("exif=ignore" in part.source) != part.source.startswith("mat:")
        assert part.count or (name, part.name) == ("openood_imagenet200", "id_train")
    assert {s.group for s in suite.sets} <= {"near", "far", "shifted", "ood"}


FAR = {"mnist": 70_000, "svhn": 26_032, "textures": 5_640}
LARGE = {"near/ssb_hard": 49_000, "near/ninco": 5_879, "far/inaturalist": 10_000}
LARGE |= {"far/textures": 5_160, "far/openimage_o": 15_869, "ood_val": 1_763}
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
        (
            "mos_imagenet",
            {f"ood/{k}": 10_000 for k in ("inaturalist", "sun", "places")}
            | {"ood/textures": 5_640, "id_test": 50_000},
        ),
        *(
            (
                f"mos_imagenet_{name}",
                {f"ood/{k}": 10_000 for k in ("inaturalist", "sun", "places")}
                | {"ood/textures": 5_640, "id_test": count},
            )
            for name, count in (("v2", 10_000), ("sketch", 50_889), ("a", 7_500), ("r", 30_000))
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
    monkeypatch.setenv("ADAPT_JAX_DATA", "a,b")
    with pytest.raises(InputError, match="','"):
        resolve("openood_cifar10")


def test_every_source_of_a_suite_lies_in_an_archive_it_needs():
    for name, needed in NEEDS.items():
        folders = [ARCHIVES[archive].folder for archive in needed]
        for part in (*SUITES[name].splits, *SUITES[name].sets):
            path = part.source.partition(":")[2].partition("?")[0].removeprefix("{root}/")
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
