"""OOD strings and suites."""

import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.data import SUITES, OodSet, parse_ood, resolve


def test_parse_ood():
    text = "near/cifar100=npz:c100.npz?classes=0-5&limit=9, far/signs=folder:gtsrb,x-1=digits"
    assert parse_ood(text) == (
        OodSet("near", "cifar100", "npz:c100.npz?classes=0-5&limit=9"),
        OodSet("far", "signs", "folder:gtsrb"),
        OodSet("ood", "x-1", "digits"),
    )
    assert resolve(text) == parse_ood(text)


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
    with pytest.raises(InputError, match="tfds_cifar10, tfds_cifar100"):
        resolve(text)


@pytest.mark.parametrize("name", sorted(SUITES))
def test_suites_parse(name):
    sets = resolve(name)
    assert {s.group for s in sets} == {"near", "far"}
    assert [s.name for s in sets][1:] == ["svhn", "textures", "mnist"]
    assert all(s.source.startswith("tfds:") for s in sets)
