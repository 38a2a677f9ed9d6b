"""Scores images with this export: python score.py IMAGE...

Needs: pip install jax flatbuffers numpy pillow. Prints one JSON object per image.
"""

import json
import pathlib
import sys

try:
    import flatbuffers  # noqa: F401  jax reads the program with it
    import numpy as np
    from jax import export
    from PIL import Image
except ImportError as e:
    sys.exit(f"{e}. {__doc__}")

HERE = pathlib.Path(__file__).resolve().parent
DATA = json.loads((HERE / "data.json").read_text())
DETECTOR = json.loads((HERE / "detector.json").read_text())
BLOCK = 256  # images scored together


def rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: alpha is dropped, 16-bit grey is scaled to 8 bits."""
    if image.mode == "F":
        raise ValueError("floating-point pixels; save it with 8 bits per channel")
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    image.info.pop("transparency", None)
    return image.convert("RGB")


def read(path: str) -> np.ndarray:
    """An image file as (S, S, 3) uint8: shorter side resized (bilinear), middle square cut out."""
    size, resize = DATA["image_size"], DATA["resize"]
    with Image.open(path) as file:
        image = rgb(file)
    if resize == "stretch":
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    elif resize is not None or image.size != (size, size):
        short, (width, height) = resize or size, image.size
        long = int(short * max(width, height) / min(width, height))
        scaled = (short, long) if width <= height else (long, short)
        image = image.resize(scaled, Image.Resampling.BILINEAR)
        left, top = (round((length - size) / 2) for length in image.size)
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image)


def records(paths: list[str], scorer: export.Exported) -> list[dict]:
    """What is printed of each image; "error" is in that of one that cannot be read."""
    found, images = [{"image": path} for path in paths], {}
    for i, path in enumerate(paths):
        try:
            images[i] = read(path)
        except Exception as e:  # decoders raise whatever they like
            found[i]["error"] = str(e)
    if not images:
        return found
    result = scorer.call(np.stack(list(images.values())))
    for row, i in enumerate(images):
        score = float(result["score"][row])
        found[i] |= {
            "score": score,
            "in_distribution": score >= DETECTOR["threshold"],
            "threshold": DETECTOR["threshold"],
            "detector": DETECTOR["detector"],
        }
        if "class" in result:
            number = int(result["class"][row])
            found[i] |= {"class": number, "class_name": DATA["class_names"][number]}
            found[i]["class_by"] = DETECTOR["class_by"]
    return found


def main(paths: list[str]) -> int:
    """Prints the records in order; 2 if an image could not be read."""
    scorer = export.deserialize(bytearray((HERE / "scorer.stablehlo").read_bytes()))
    code = 0
    for start in range(0, len(paths), BLOCK):
        for record in records(paths[start : start + BLOCK], scorer):
            code = 2 if "error" in record else code
            print(json.dumps(record))
    return code


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
