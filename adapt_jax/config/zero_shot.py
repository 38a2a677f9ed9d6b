"""Every field of a zero-shot experiment with its default; files in configs/ change a few.

seed: of the streams: which images a mix takes, and their order.
clip.path: a folder, a weights file, or a name on the Hugging Face hub; see `clip.load`.
clip.revision: a commit of that repository; "" takes the current one.
clip.architecture: of weights without a configuration beside them: its JSON file, or the name of a
  released model ("ViT-B/32" of OpenAI, "ViT-B-32" of OpenCLIP, see `clip.RELEASED`); "" reads the
  configuration beside the weights, else recognises released models and says so.
clip.dtype: what both towers compute in, "float32", "bfloat16" or "float16" (the official programs).
class_names: names of the ID classes: "imagenet", "cifar10", "cifar100", "bimcv", "digits", a file
  with one name a line, "wnids:FILE" for a text with lines "n01443537 goldfish", or "data": those
  that test_data brings; unless the suite has its own. Where test_data has ?classes=, the names of
  these classes.
test_data: source of the ID images (see docs/data.md), unless the suite fixes it.
ood: a suite's name, or "group/name=source,...".
full_spectrum: whether the covariate-shifted ID sets (group "shifted") count as ID; else unused.
text_features: an npz file of the text bank as --from_features reads it (`labels` (C, D),
  `negatives` (M, D)), instead of prompts, corpus and text tower; of learned prompts, for example.
prompts.preset: whose templates, see `text_bank.prompts`; labels, noun, adjective replace one each.
learned_prompts.file: a file of context vectors that CoOp, LAPT or NegPrompt learned, which take the
  place of the words around class names, see `zero_shot.learned_prompts`. Negatives are chosen with
  `prompts` first.
learned_prompts.class_position: where names stand in a file of CoOp's: "end", "middle" or "front".
corpus: candidate negatives, see `text_bank.corpus.load`; without_labels drops words spelled like an
  ID class; phrases makes "wet landscape" of the adjective "wet" (CSP).
negatives.percentile: which quantile of its cosines with the ID labels ranks a word.
negatives.fraction: share of the nouns, and of the adjectives, that become negatives; 0 wants none.
negatives.count: their number instead, shared between nouns and adjectives in proportion.
negatives.near_duplicate: a word whose largest cosine with an ID label is above this ranks last
  (CSP: 0.95); None for no such rule.
negatives.file: a ready list instead of a corpus, every word of which is a negative: a text file of
  nouns, or a table with columns word and kind, see `text_bank.corpus.ready`.
negatives.convention: "neglabel" or "openood_vlm": how quantiles are taken and what comes first.
preprocess.variant: of `clip.preprocess`; "auto" is that of the model's own library.
preprocess.resize: what the shorter side becomes before the middle is cut out; 0: the model's size.
detectors: names, with hyper-parameters behind "?": "mcm,adaneg?memory_length=10"; or "all".
stream.order: of the ID and OOD images that adaptive detectors see: "shuffled", "interleaved"
  (evenly), "id_first" or "ood_first".
stream.batch_size: images adaptive detectors see at a time; their scores depend on it.
stream.mix: "all", or a ratio ID:OOD such as "1:1" or "100:1"; as many images as every set has.
stream.count: images in the longest stream, at most, the same share of every set; None: all.
text_batch_size, image_batch_size: texts and images per pass over all devices.
bootstrap: resamples behind the intervals in results; 0 for none.
profile: "START:STOP" traces these batches of images through CLIP, which are then embedded anew, or
  with --from_features these steps of the streams, into WORKDIR/profile; "" does not.
report: whether report.html is written.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from adapt_jax.config import ranges
from adapt_jax.config.diff import flatten
from adapt_jax.config.fields import steps_range
from adapt_jax.core.errors import InputError
from adapt_jax.text_bank.corpus import SKIPPED


def default_config() -> ConfigDict:
    """NegLabel's text bank and images, with OpenAI's ViT-B/16, on the four sets of MOS."""
    return ConfigDict(
        {
            "seed": 0,
            "clip": {
                "path": "openai/clip-vit-base-patch16",
                "revision": "",
                "architecture": "",
                "dtype": "float32",
            },
            "class_names": "imagenet",
            "test_data": "",
            "ood": "mos_imagenet",
            "full_spectrum": False,
            "text_features": "",
            "prompts": {"preset": "neglabel", "labels": "", "noun": "", "adjective": ""},
            "learned_prompts": {"file": "", "class_position": "end"},
            "corpus": {
                "place": "wordnet",
                "skip": ",".join(SKIPPED),
                "first": "nouns",
                "lost_heads": True,
                "without_labels": False,
                "phrases": False,
            },
            "negatives": {
                "percentile": 0.95,
                "fraction": 0.15,
                "count": placeholder(int),
                "convention": "neglabel",
                "near_duplicate": placeholder(float),
                "file": "",
            },
            "preprocess": {"variant": "auto", "resize": 0},
            "detectors": "mcm,neglabel,adaneg",
            "stream": {
                "order": "shuffled",
                "batch_size": 256,
                "mix": "all",
                "count": placeholder(int),
            },
            "text_batch_size": 512,
            "image_batch_size": 256,
            "bootstrap": 0,
            "profile": "",
            "report": True,
        }
    )


def check_fields(config) -> None:
    """Raises InputError unless the config has exactly these fields, its counts in range."""
    given, defaults = flatten(config.to_dict()), flatten(default_config().to_dict())
    for key in sorted(given.keys() ^ defaults.keys()):
        word = "has no field" if key in given else "lacks the field"
        raise InputError(
            f"the zero-shot config {word} {key!r}; see adapt_jax/config/zero_shot.py for all of "
            "them"
        )
    ranges.check(given)
    steps_range(config.profile, "config field profile")
