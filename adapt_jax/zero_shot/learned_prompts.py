"""Files of learned prompts: the context vectors that CoOp, LAPT and NegPrompt save.

Every program trains a prompt learner and saves its state dict, alone or in that of the network:

  CoOp (KaiyangZhou/CoOp), and programs with its prompt learner: `ctx`, contexts of the classes,
    (n, W) for all or (C, n, W) for each. `prompt_learner/model.pth.tar-50`.
  LAPT (YBZh/OpenOOD-VLM): `ctx`, and `ood_ctx` of the mined negatives, (n, W) or (M, n, W).
    `best.ckpt`.
  NegPrompt (mala-lab/NegPrompt): `ctx_positive`, (1, n, W) or (C, 1, n, W), and `ctx_negative` of
    J negatives of every class, (J, n, W) or (C, J, n, W). `md.pth.pth`.

Names may have a prefix that ends in `prompt_learner.`. Token embeddings of the names that were
trained with (`token_prefix`, `token_suffix`) are left out, as those programs do it, and so is the
network around the prompt learner. What else a prompt learner has (CoCoOp's network, MaPLe's deeper
prompts) would change the prompts, so such a file is refused.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapt_jax import clip
from adapt_jax.clip import learned_context
from adapt_jax.core.errors import InputError
from adapt_jax.core.named import listed
from adapt_jax.models import read_weights

_LABELS, _WORDS, _POSITIVE, _NEGATIVE = "ctx", "ood_ctx", "ctx_positive", "ctx_negative"
_CONTEXTS = (_LABELS, _WORDS, _POSITIVE, _NEGATIVE)
_LEARNER = "prompt_learner."
_BUFFERS = ("token_prefix", "token_suffix")
_KINDS = "; it has to hold ctx (CoOp), ctx and ood_ctx (LAPT) or ctx_positive and ctx_negative"


class LearnedPrompts(NamedTuple):
    """Contexts of n vectors, W wide.

    file: where they are from. sha256: of all of them.
    labels: of the ID classes: (n, W) for all or (C, n, W) for each.
    words: of mined negatives: (n, W) or (M, n, W); None where these have ordinary prompts.
    own: of negatives made of the class names: (J, n, W) or (C, J, n, W); None where words are.
    full_stop: whether a full stop follows the name. position: see `clip.learned_context`.
    """

    file: str
    sha256: str
    labels: np.ndarray
    words: np.ndarray | None
    own: np.ndarray | None
    full_stop: bool
    position: str

    def about(self) -> dict[str, str]:
        """Where the contexts are from, and where the names stand in them."""
        return {
            "learned": self.file,
            "learned_sha256": self.sha256,
            "class_position": self.position,
        }

    def negatives_of(self, classes: int, mined: int) -> int:
        """How many negatives there will be: those that are mined, or some for each class."""
        return mined if self.own is None else classes * self.own.shape[-3]

    def check(self, model: clip.Model, classes: int, mined: int) -> None:
        """Whether the contexts fit a CLIP and the numbers of classes and of mined negatives.

        Raises:
          InputError: they do not; both sizes are named.
        """
        if (width := learned_context.tower(model).width) != self.labels.shape[-1]:
            raise InputError(
                f"{self.file} has vectors of width {self.labels.shape[-1]}, and the text tower of "
                f"this CLIP {width}; give the CLIP that the prompts were learned with"
            )
        for what, contexts, most, count in (
            ("ID classes", self.labels, 3, classes),
            ("ID classes", self.own, 4, classes),
            ("negatives", self.words, 3, mined),
        ):
            if contexts is not None and contexts.ndim == most and len(contexts) != count:
                raise InputError(
                    f"{self.file} has a context for each of {len(contexts)} {what}, and there are "
                    f"{count}; give those that they were learned with, in their order"
                )

    def of_labels(self, model: clip.Model, names: Sequence[str]) -> tuple[clip.Model, np.ndarray]:
        """The prompts (C, L) of class names, as `learned_context.prompts` returns them."""
        return self._prompts(model, self.labels, names)

    def of_words(
        self, model: clip.Model, names: Sequence[str], words: Sequence[str]
    ) -> tuple[clip.Model, np.ndarray, tuple[str, ...]] | None:
        """The prompts of negatives and what they are called; None where those are ordinary.

        Negatives of class names are class by class.
        """
        if self.own is not None:
            each = self.own.shape[-3]
            contexts = np.broadcast_to(self.own, (len(names), *self.own.shape[-3:]))
            contexts = contexts.reshape(-1, *contexts.shape[2:])
            repeated = [name for name in names for _ in range(each)]
            called = tuple(f"{name} (negative {i + 1})" for name in names for i in range(each))
            return *self._prompts(model, contexts, repeated), called
        if self.words is None:
            return None
        return *self._prompts(model, self.words, words), tuple(words)

    def _prompts(self, model, contexts, names) -> tuple[clip.Model, np.ndarray]:
        several = contexts.ndim == 3
        return learned_context.prompts(
            model,
            contexts if several else contexts[None],
            names,
            np.arange(len(names)) * several,
            full_stop=self.full_stop,
            position=self.position,
        )


def read(file: str, class_position: str) -> LearnedPrompts | None:
    """Reads a file of learned contexts; None where `file` is "".

    Args:
      file: a `.npz` or `.safetensors` file, or a checkpoint of PyTorch's, of which the tensors are
        read without running anything.
      class_position: where class names stand in a file of CoOp's: "end", "middle" or "front".

    Raises:
      InputError: the file cannot be read, holds something else or more than contexts, or their
        shapes do not fit each other; or a position that is unknown or that its program has not.
    """
    if class_position not in learned_context.POSITIONS:
        raise InputError(
            "config field learned_prompts.class_position is "
            f"{listed(learned_context.POSITIONS)}, got {class_position!r}"
        )
    if not file:
        return None
    seen: list[str] = []

    def wanted(name: str) -> bool:
        seen.append(name)
        return name.rpartition(".")[2] in _CONTEXTS and (_LEARNER in name or "." not in name)

    tensors = read_weights(file, allow_pickle=True, wanted=wanted)
    prefixes = {name.removesuffix(name.rpartition(".")[2]) for name in tensors}
    if len(prefixes) != 1:
        what = "no learned context" if not prefixes else "several prompt learners"
        raise InputError(f"{file} has {what} (it has {listed(seen) or 'nothing'}){_KINDS}")
    (prefix,) = prefixes
    contexts = {
        name.removeprefix(prefix): np.asarray(value, np.float32) for name, value in tensors.items()
    }
    own = [name.removeprefix(prefix) for name in seen if name.startswith(prefix)]
    unknown = [n for n in own if n not in _CONTEXTS and not n.endswith(_BUFFERS)]
    if unknown or set(contexts) not in ({_LABELS}, {_LABELS, _WORDS}, {_POSITIVE, _NEGATIVE}):
        raise InputError(
            f"{file} has a prompt learner of an unknown kind "
            f"({listed([*contexts, *unknown])}){_KINDS}"
        )
    if len(contexts) > 1 and class_position != "end":
        raise InputError(
            f"config field learned_prompts.class_position is {class_position!r}, and names stand "
            f"at the end in what {listed(contexts)} belong to; leave it out"
        )
    return _checked(file, contexts, class_position)


def _checked(file: str, contexts: dict[str, np.ndarray], position: str) -> LearnedPrompts:
    """The prompts, once the shapes of their contexts fit each other."""
    shapes = {name: value.shape for name, value in contexts.items()}
    negprompt = _POSITIVE in contexts
    dimensions = {name: len(shape) for name, shape in shapes.items()}
    allowed = (3, 4) if negprompt else (2, 3)
    fits = len({shape[-2:] for shape in shapes.values()}) == len(set(dimensions.values())) == 1
    fits = fits and set(dimensions.values()) <= set(allowed)
    fits = fits and all(min(shape) > 0 for shape in shapes.values())
    if fits and negprompt:
        positive, negative = shapes[_POSITIVE], shapes[_NEGATIVE]
        fits = positive[-3] == 1 and positive[:-3] == negative[:-3]
    if not fits:
        raise InputError(
            f"{file}: the shapes of the contexts do not fit each other or their program: "
            f"{', '.join(f'{name} {shape}' for name, shape in shapes.items())}"
        )
    labels = contexts[_POSITIVE][..., 0, :, :] if negprompt else contexts[_LABELS]
    digest = hashlib.sha256()
    for name in sorted(contexts):
        digest.update(f"{name} {shapes[name]} ".encode() + contexts[name].tobytes())
    return LearnedPrompts(
        file,
        digest.hexdigest(),
        labels,
        contexts.get(_WORDS),
        contexts.get(_NEGATIVE),
        not negprompt,
        position,
    )
