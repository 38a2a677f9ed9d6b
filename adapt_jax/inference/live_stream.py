"""A stream of images to an adaptive zero-shot detector, which goes on where it was stopped."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core import named
from adapt_jax.core.arrays import Array, checked_unit_rows
from adapt_jax.data import given
from adapt_jax.data.given import Images
from adapt_jax.detectors import Outputs
from adapt_jax.inference import explain, stream_files
from adapt_jax.inference.calibrated import CalibratedDetector
from adapt_jax.inference.stream_files import Checkpoint
from adapt_jax.inference.zero_shot_files import Text
from adapt_jax.workdir import folders
from adapt_jax.zero_shot_detectors import StreamDetector, make
from adapt_jax.zero_shot_detectors.streams import compiled


class Stream:
    """Images one batch after the other, in a folder that remembers everything.

    After every batch the detector's state is on disk before a score is returned, so that a program
    that is killed anywhere goes on with the same numbers, to the bit, as one that was not: an image
    was seen if and only if it is in `seen.jsonl` up to `seen` lines. What is asked for at a time is
    cut into batches; a smaller batch is padded, so one compiled program serves all.

    detector: what scores, and names the nearest label.
    threshold: scores from there on are in-distribution; in the run's own streams it kept the share
    `tpr` of the ID images. It promises nothing: scores of a stream depend on one another.
    batch_size: images at a time, at most; that of the run, since scores depend on it.
    seen: number of images so far.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        outputs_of: Callable[[Images], Outputs],
        detector: CalibratedDetector,
        tpr: float,
        text: Text,
        noise: np.ndarray | None,
        checkpoint: str,
        batch_size: int,
    ):
        """Opens a folder; `ZeroShotPipeline.stream` knows all of this.

        Args:
          folder: folder of this stream alone; it is held until `close`.
          outputs_of: function that embeds images.
          detector: calibrated detector that scores.
          tpr: share of the ID images in the run's own streams that the threshold keeps.
          batch_size: largest number of images at a time.
          text: the bank, with the names of its rows.
          noise: embeddings of noise images (N, D), or None.
          checkpoint: digest of the CLIP, or of the embeddings.

        Raises:
          InputError: the folder holds another stream, is damaged, or another program has it.
        """
        self.folder = folders.prepare(folder)
        self.detector, self.batch_size = detector, batch_size
        self.tpr, self.threshold, self.alpha = tpr, detector.threshold(tpr), None
        self.text, self._outputs_of = text, outputs_of
        self._held = contextlib.ExitStack()
        self._held.enter_context(folders.locked(self.folder))
        spec = detector.spec
        made, self._step = _program(spec.registry.factories[spec.name], spec.text)
        self._insight = made.insight
        self._like = {"state": made.start(text.bank, noise)}
        # Copies: what JAX hands out may be the very memory that a step is donated.
        self._fresh = {k: np.array(v) for k, v in named.flatten(**self._like).items()}
        self._identity = {
            "detector": detector.spec.text,
            "batch_size": batch_size,
            "checkpoint": checkpoint,
            "bank": _digest(*text.bank, *(() if noise is None else (noise,))),
        }
        self._images: dict[str, dict[str, Any]] = {}  # of the log up to `_read`, by digest
        self._read = 0
        self._restore()

    def __enter__(self) -> "Stream":
        """Holds the folder until the block ends."""
        return self

    def __exit__(self, *error) -> None:
        """Lets go of the folder."""
        self.close()

    def close(self) -> None:
        """Lets go of the folder; everything is on disk already."""
        self._held.close()

    def score(self, images: Images) -> np.ndarray:
        """Scores (N,) float32 of the next N images, in order; larger means more in-distribution.

        Args:
          images: one image or several, as for `Ready.score`. All are read before the first one
            counts as seen.

        Raises:
          InputError: an image cannot be used; it is named, and none was seen.
        """
        listed_images = given.listed(images)
        return self.score_embeddings(
            self._outputs_of(listed_images).features, given.names_of(listed_images)
        )

    def score_embeddings(
        self, embeddings: np.ndarray, names: Sequence[str] | None = None
    ) -> np.ndarray:
        """The same for embeddings of images.

        Args:
          embeddings: unit rows (N, D), by the CLIP of the run.
          names: names of the images in the log; their numbers by default.

        Raises:
          InputError: no unit rows of that width.
        """
        width = self.text.bank.labels.shape[1]
        rows = checked_unit_rows(embeddings, "embeddings", width).astype(np.float32, copy=False)
        names = [f"number {self.seen + i}" for i in range(len(rows))] if names is None else names
        size = self.batch_size
        starts = range(0, len(rows), size)
        parts = [self._batch(rows[i : i + size], names[i : i + size]) for i in starts]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def remembers(self) -> dict[str, int]:
        """How much of what the detector has kept of the images it has seen."""
        return {what: int(n) for what, n in self._insight.remembers(self._state).items()}

    def explain(self, embeddings: np.ndarray, most: int = 5) -> list[dict[str, Any]]:
        """What decided the scores of the last batch, see `explain.explained`.

        Args:
          embeddings: unit rows (N, D) of its images, or of others as if they were among them.
          most: number of words for each image.
        """
        size, explanations = self.batch_size, []
        for start in range(0, len(embeddings), size):
            rows = embeddings[start : start + size]
            arguments = self._insight, self._state, self._padded(rows), len(rows)
            explanations += explain.explained(*arguments, self.text, self._known, most)
        return explanations

    def _padded(self, rows: np.ndarray) -> np.ndarray:
        batch = np.zeros((self.batch_size, rows.shape[1]), rows.dtype)
        batch[: len(rows)] = rows
        return batch

    def _known(self, rows: np.ndarray) -> list[dict[str, Any] | None]:
        """The log's line about the image of each embedding (N, D); None where it has none."""
        for line in stream_files.lines(self.folder, self._read, self._logged):
            self._images[line["embedding"]] = line
        self._read = self._logged
        return [self._images.get(_digest(row)) for row in rows]

    def _restore(self) -> None:
        """The state on disk, which is what counts."""
        checkpoint = stream_files.load(self.folder, self._identity, self._fresh)
        where = str(self.folder / stream_files.STATE)
        state = named.unflatten(checkpoint.arrays, self._like, where)["state"]
        self._state: Any = jax.tree.map(jnp.array, state)
        self.seen, self._logged = checkpoint.seen, checkpoint.logged

    def _batch(self, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
        batch, valid = self._padded(rows), np.arange(self.batch_size) < len(rows)
        try:
            return self._stepped(batch, valid, names)
        except BaseException:  # a full disk, an interrupt: this batch was not seen
            self._restore()
            raise

    def _stepped(self, batch: np.ndarray, valid: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Scores a padded batch, and has it on disk."""
        rows = batch[valid]
        values, self._state = self._step(self._state, batch, valid)
        scores = np.asarray(values)[: len(rows)].astype(np.float32)
        records = [
            {"number": self.seen + i, "image": name, "score": float(s), "embedding": _digest(row)}
            for i, (name, s, row) in enumerate(zip(names, scores, rows, strict=True))
        ]
        logged = stream_files.append(self.folder, self._logged, records)
        now = Checkpoint(self.seen + len(rows), logged, named.flatten(state=self._state))
        stream_files.save(self.folder, self._identity, now, self._fresh)
        self.seen, self._logged = now.seen, logged
        return scores


@functools.lru_cache(maxsize=8)
def _program(factory: Callable, text: str) -> tuple[StreamDetector, Callable]:
    """A detector and its step, which streams that are opened again need not compile again."""
    made = make(text)  # by this factory
    return made, compiled(made.step)


def _digest(*arrays: Array) -> str:
    """A hash of the arrays' bits, long enough to tell images apart."""
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return hashlib.sha256(content).hexdigest()[:24]
