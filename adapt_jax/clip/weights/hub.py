"""Fetching a repository of the Hugging Face hub: only what is read of it, at one commit."""

import pathlib
from collections.abc import Callable, Iterable

from adapt_jax.clip.weights import library_tokenizers, tokenizer_files
from adapt_jax.clip.weights.files import INDEX
from adapt_jax.core.errors import InputError


def fetch(
    name: str, revision: str | None, candidates: Callable[[pathlib.Path], Iterable[str]]
) -> tuple[pathlib.Path, str]:
    """The weights file of a repository, cached beside its configuration and tokenizer; its commit.

    Args:
      name: name of the repository, `org/name`.
      revision: commit, tag or branch; None for the current commit.
      candidates: function from a folder with the configuration to names of weights files; only the
        first one that the repository has is fetched.

    Raises:
      InputError: huggingface_hub is not installed, the hub cannot be reached, or it has no such
        repository, revision, or weights that can be read.
    """
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise InputError(
            f"there is no folder {name}, and to fetch it from the Hugging Face hub needs: "
            "pip install huggingface_hub"
        ) from None

    def snapshot(commit, patterns):
        try:
            return pathlib.Path(snapshot_download(name, revision=commit, allow_patterns=patterns))
        except (OSError, ValueError) as e:  # all errors of the hub are one or the other
            at = f" at revision {commit}" if commit else ""
            reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
            raise InputError(
                f"{name}{at} cannot be fetched from the Hugging Face hub ({reason}); check name "
                "and revision, or fetch it elsewhere and give its folder"
            ) from None

    tokenizers = (*tokenizer_files.FILES, *library_tokenizers.FILES)
    folder = snapshot(revision, ["*config.json", *tokenizers])
    commit = folder.name  # snapshots are kept by commit
    for file in candidates(folder):
        shards = [file.replace(INDEX, "-*.safetensors")] if file.endswith(INDEX) else []
        weights = snapshot(commit, [file, *shards]) / file
        if weights.is_file():
            return weights, commit
    raise InputError(
        f"{name}@{commit} has no CLIP weights as .safetensors or .msgpack; a pickle "
        "(pytorch_model.bin) is never loaded: download and convert it once, then give the folder"
    )
