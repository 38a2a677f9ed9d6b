"""A CLIP on every device: sentences and images -> unit rows, with progress."""

import pathlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from adapt_jax import clip
from adapt_jax.clip.model import check_ids
from adapt_jax.clip.weights.tokenizer_files import check_model
from adapt_jax.core.errors import InputError
from adapt_jax.runtime import processes, progress, sharding


class Source(NamedTuple):
    """Where a CLIP is from, see `clip.load`, and what its towers compute in.

    path: a folder, a weights file, or a name on the Hugging Face hub.
    revision: a commit of that repository; "" takes the current one.
    architecture: of weights without a configuration, a released model's name or a JSON file; or "".
    dtype: "float32", "bfloat16" or "float16".
    """

    path: str
    revision: str = ""
    architecture: str = ""
    dtype: str = "float32"

    def located(self) -> "Source":
        """The same, to be found from any working directory."""
        path = pathlib.Path(self.path).expanduser()
        return self._replace(path=str(path.absolute())) if path.exists() else self


class Encoder(NamedTuple):
    """A model whose parameters are on every device of a mesh; batches are split over it.

    A mesh of this process's devices alone is for jobs where every process does its share.

    sha256: SHA-256 of all that its embeddings depend on.
    report_progress: function called with a line about progress and speed.
    """

    model: clip.Model
    sha256: str
    mesh: Mesh
    report_progress: Callable[[str], None]

    def images(
        self,
        blocks: Iterable[np.ndarray],
        count: int,
        batch_size: int,
        what: str,
        profile: Callable | None = None,
    ) -> np.ndarray:
        """`count` images in blocks (n, S, S, 3) -> (count, D) float32 unit rows.

        Blocks are uint8, or floats that count as normalised. `profile` profiles the passes, see
        `clip.encode_images`.
        """
        run = partial(clip.encode_images, self.model, blocks, profile=profile)
        return unit(self._embed(run, count, batch_size, what, "images"), what)

    def texts(
        self, sentences: Sequence[str] | np.ndarray, batch_size: int, what: str, raw: bool = False
    ) -> np.ndarray:
        """Sentences -> (N, D) float32 unit rows, or as the text tower gives them with `raw`.

        Sentences may also be token ids (N, L).

        Raises:
          InputError: one is too long for the model; it is named.
        """
        ids = sentences if isinstance(sentences, np.ndarray) else self.model.tokenize(sentences)
        run = partial(clip.encode_texts, self.model, ids)
        rows = self._embed(run, len(ids), batch_size, what, "texts")
        return rows if raw else unit(rows, what)

    def images_shared(
        self,
        blocks: Callable[[slice], Iterable[np.ndarray]],
        count: int,
        batch_size: int,
        what: str,
        profile: Callable | None = None,
    ) -> np.ndarray:
        """The same where every process embeds its share of the images and returns all rows.

        Args:
          blocks: function that reads the images of a slice.
          count: number of all images.
          batch_size: number of images per pass over the devices of all processes.
          what, profile: arguments of `images`.
        """
        part = processes.share(count)
        with processes.together():
            own = part.stop - part.start
            rows = self.images(blocks(part), own, _each(batch_size), what, profile)
        return processes.joined(rows, count)

    def texts_shared(
        self, sentences: Sequence[str] | np.ndarray, batch_size: int, what: str, raw: bool = False
    ) -> np.ndarray:
        """`texts` where every process embeds its share of the sentences and returns all rows."""
        own = sentences[processes.share(len(sentences))]
        with processes.together():
            rows = self.texts(own, _each(batch_size), what, raw)
        return processes.joined(rows, len(sentences))

    def _embed(self, run, count: int, batch_size: int, what: str, kind: str) -> np.ndarray:
        devices = self.mesh.size
        return run(
            batch_size=-(-batch_size // devices) * devices,
            put=partial(sharding.shard_batch, self.mesh),
            get=lambda out: np.asarray(_gathering(self.mesh)(out)),
            progress=progress.reporter(self.report_progress, f"CLIP: {what}", count, kind),
        )


@cache
def _gathering(mesh: Mesh) -> Callable[[jax.Array], jax.Array]:
    """Puts whole arrays on every device; one program for all calls."""
    return jax.jit(lambda x: x, out_shardings=sharding.replicated(mesh))


def _each(batch_size: int) -> int:
    """The part of a batch that one process does."""
    return -(-batch_size // jax.process_count())


def load(source: Source, mesh: Mesh, report_progress: Callable[[str], None]) -> Encoder:
    """Loads a CLIP and puts it on every device.

    Args:
      source: location of its files.
      mesh: the devices.
      report_progress: function called with a line about the current step.

    Raises:
      InputError: see `clip.load`; or the model needs another tokenizer.
    """
    report_progress(f"CLIP: loading {source.path}")
    model = clip.load(
        source.path,
        source.revision or None,
        dtype=source.dtype,
        architecture=source.architecture or None,
    )
    if isinstance(model.architecture.text, clip.TextTransformer):
        check_model(model.architecture.text)
    else:
        check_ids(model.tokenize(["a photo"]), model.architecture)
    if model.guess:
        report_progress(f"CLIP: warning: {model.guess}")
    sha256 = model.sha256()
    return Encoder(model.placed(partial(sharding.replicate, mesh)), sha256, mesh, report_progress)


def unit(rows: np.ndarray, what: str) -> np.ndarray:
    """Rows (N, D) at unit length, at least float32.

    Raises:
      InputError: a row without a direction: zero, or not finite.
    """
    rows = np.asarray(rows)
    rows = rows.astype(np.promote_types(rows.dtype, np.float32), copy=False)
    norm = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    wrong = np.flatnonzero(~(np.isfinite(norm) & (norm > 0)))
    if wrong.size:
        raise InputError(
            f"{what}: {wrong.size} of {len(rows)} embeddings are zero or not finite (the first is "
            f"row {wrong[0]}); with float16, try another dtype"
        )
    return rows / norm[:, None].astype(rows.dtype)
