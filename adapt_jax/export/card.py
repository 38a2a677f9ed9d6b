"""The model card of an export: README.md as model hubs read it, from what card.json holds."""

from collections.abc import Mapping
from typing import Any

from adapt_jax import detectors
from adapt_jax.detectors.fitting import same
from adapt_jax.results import tables
from adapt_jax.results.result_rows import mean_rows

_COLUMNS = ("fpr95", "fpr95_idpos_nearest", "auroc", "aupr_in", "aupr_out")


def text(card: Mapping[str, Any]) -> str:
    """The README. `card` as `adapt_jax.export` makes it."""
    data, detector, scorer = card["data"], card["detector"], card["scorer"]
    size, zero_shot = data["image_size"], card["method"] == "zero_shot"
    output = "`score` (B,) float32, larger = more in-distribution"
    if detector["class_by"]:
        output += f"; `class` (B,) int32, by the {detector['class_by']}"
    return f"""---
license: {card["licence"]}
library_name: adapt_jax
pipeline_tag: {"zero-shot-image" if zero_shot else "image"}-classification
tags:
- out-of-distribution-detection
- jax
- {card["method"]}
- {card["model"]}
---

# {card["model"]}, {card["method"]}, {detector["name"]}

{_zero_shot(card) if zero_shot else _trained(card)} It gives each
image a score, larger = more in-distribution. From {detector["threshold"]:.6g} on an image counts as
in-distribution; {100 * detector["tpr"]:g} % of {detector["calibrated_on"]} reach that.

## Use

Without adapt_jax (`pip install jax flatbuffers numpy pillow`), one JSON object per image:

    python score.py IMAGE...

With it, the same and more:

    python -m adapt_jax.predict --workdir=. IMAGE...
{"" if zero_shot else _EVALUATE}
In a program of your own, without adapt_jax or with it:

    from jax import export
    scorer = export.deserialize(bytearray(open("scorer.stablehlo", "rb").read()))
    result = scorer.call(images)        # (B, {size}, {size}, 3) uint8, any B

    import adapt_jax
    ready = adapt_jax.load(".")
    outputs = ready.embed(images)       # features, logits: what every detector takes
    scores = ready.detector.score(outputs)

`scorer.stablehlo` is lowered for {", ".join(scorer["platforms"])}, and computes in
{scorer["dtype"]}. It returns {output}.
When it was exported, on {scorer["checked_on"]}, its scores and the package's differed by
{scorer["relative_difference"]:.1g} of the largest score.

## Images

{_cutting(size, data["resize"], data.get("filter", "BILINEAR").lower(), data.get("stretch", False))}
Normalisation (mean {_numbers(data["mean"])}, deviation {_numbers(data["std"])}, of pixels as
fractions of 255) is part of the network. `score.py` does all of it.

## Results

{_results(card)}

## Limits

* A score orders images; the threshold is a share of the images named above, and other images of the
  same classes may be kept more or less often.
* The results hold for the sets in the table. A detector that is good at one kind of unknown image
  may be poor at another.
* Whatever is wrong with the training images is in the network as well.

## Made with

* adapt_jax {card["versions"]["adapt_jax"]}{_commit(card)}, jax {card["versions"]["jax"]}
* exported on {card["date"][:10]}{_length(card)}; {card["parameters"]:,} parameters
* checkpoint SHA-256 `{card["checkpoint_sha256"]}`
{"" if zero_shot else f"* training images SHA-256 `{data['fingerprint']}`{chr(10)}"}
`card.json` has the rest, and the hash of every file that scores images.
"""


_EVALUATE = """\
    python -m adapt_jax.evaluate --workdir=. --out=DIR --detectors=all --ood=GROUP/NAME=SOURCE,...
"""


def _trained(card: Mapping[str, Any]) -> str:
    data, detector = card["data"], card["detector"]
    classes = data["classes"]
    task = f"{classes} classes" if classes else "no class labels"
    return (
        f"A network trained on `{data['train']}` ({data['images']:,} images, {task}) with the "
        f"method\n`{card['method']}`, and the detector `{detector['detector']}` fitted on its "
        "outputs."
    )


def _zero_shot(card: Mapping[str, Any]) -> str:
    data, detector = card["data"], card["detector"]
    return (
        f"The image tower of the CLIP `{card['model']}`, the embeddings of the names of "
        f"{data['classes']:,} classes and\nof {data['negatives']:,} other words, and the "
        f"detector `{detector['detector']}`, which compares images with them.\nNothing was "
        "trained, and the text tower is not needed."
    )


def _length(card: Mapping[str, Any]) -> str:
    return f", after {card['step']:,} steps" if card["step"] else ""


def _cutting(size: int, resize: int | str | None, filter: str, stretched: bool) -> str:
    begin = "8-bit RGB (alpha dropped, 16-bit grey scaled to 8 bits, EXIF orientation applied).\n"
    if resize == "stretch":
        return f"{begin}Both sides are resized to {size} (Pillow, {filter})."
    cut = f"and the middle {size} x {size} is cut out."
    if resize is None:
        return (
            f"{begin}An image of {size} x {size} is left as it is; otherwise the shorter side is "
            f"resized to {size} (Pillow, {filter}) {cut}"
        )
    if stretched:
        return f"{begin}Both sides are resized to {resize} (Pillow, {filter}) {cut}"
    return f"{begin}The shorter side is resized to {resize} (Pillow, {filter}) {cut}"


def _results(card: Mapping[str, Any]) -> str:
    """The detector's rows in percent; those of others where it was not evaluated."""
    results, name = card["results"], card["detector"]["detector"]
    if card["method"] == "zero_shot":  # its detectors have no defaults that depend on a network
        rows = [r for r in results["rows"] if r["detector"] == name]
    else:
        rows = [r for r in results["rows"] if _is(r["detector"], name, results.get("adapted", {}))]
    note = ""
    if not rows:
        rows = mean_rows(results["rows"])
        note = f"`{name}` was not evaluated; these are the detectors that were.\n\n"
    accuracies = {k: v for k, v in results.items() if k.endswith("accuracy")}
    named = "".join(f"; {k.replace('_', ' ')} {100 * v:.2f} %" for k, v in accuracies.items())
    table = tables.markdown(rows, _COLUMNS).strip()
    return (
        f"{note}Protocol `{results['protocol']}`.\n"
        f"ID test set `{results['id']}`{named}. In percent:\n\n{table}"
    )


def _is(evaluated: str, exported: str, adapted: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a row is of the exported detector: that of "knn" is of "knn?k=50" as well."""
    one, other = (detectors.parse(text)[0] for text in (evaluated, exported))
    chosen = adapted.get(evaluated, {})
    return same(one._replace(params={**one.params, **chosen}), other)


def _numbers(values) -> str:
    return ", ".join(f"{v:.4g}" for v in values)


def _commit(card: Mapping[str, Any]) -> str:
    return f" (commit `{card['commit'][:12]}`)" if card["commit"] else ""
