"""Scores images with this export: python score.py [--alpha=0.05] IMAGE|DIR...

Needs: pip install jax flatbuffers numpy pillow. Prints one JSON object per image; of a folder, per
image anywhere below it, sorted. With --alpha an
image is rejected if its conformal p-value is at most that: on average this happens to at most that
share of new in-distribution images.
"""

import hashlib
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def verify() -> None:
    """Ends the program unless every file of the export is as card.json says, this one included."""
    try:
        recorded = json.loads((HERE / "card.json").read_text())["files"]
        for name in sorted(recorded):
            if pathlib.PurePath(name).name != name:
                raise ValueError(f"it names the file {name!r}")
            if hashlib.sha256((HERE / name).read_bytes()).hexdigest() != recorded[name]["sha256"]:
                sys.exit(f"error: {HERE / name} is not the file that was exported; copy it again")
        if not {"data.json", "detector.json", "scorer.stablehlo", "score.py"} <= recorded.keys():
            raise ValueError("it lacks files")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        sys.exit(f"error: {HERE / 'card.json'} or a file it names is damaged ({e}); copy it again")


verify()

try:
    import flatbuffers  # noqa: F401  jax reads the program with it
    import numpy as np
    from jax import export
    from PIL import ExifTags, Image, UnidentifiedImageError
except ImportError as e:
    sys.exit(f"{e}. {__doc__}")

DATA = json.loads((HERE / "data.json").read_text())
DETECTOR = json.loads((HERE / "detector.json").read_text())
BLOCK = 256  # images scored together
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif",
)  # fmt: skip
TURNS = {  # of EXIF's orientations
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def below(folder: str, above: tuple[str, ...] = ()) -> list[str]:
    """The images anywhere below a folder; links are followed, but never in a circle."""
    real, names = os.path.realpath(folder), []
    for entry in os.scandir(folder) if real not in above else ():
        if entry.is_file() and not entry.name.startswith("."):
            names += [entry.name] * entry.name.lower().endswith(SUFFIXES)
        elif entry.is_dir() and not entry.name.startswith(".") and entry.name != "__MACOSX":
            inner = below(entry.path, (*above, real))
            names += [f"{entry.name}/{name}" for name in inner]
    return names


def expanded(arguments: list[str]) -> list[str]:
    """The images named, and those below folders named, in the order of `predict`."""
    paths = []
    for argument in arguments:
        path = os.path.expanduser(argument)
        names = sorted(below(path)) if os.path.isdir(path) else None
        if names == []:
            sys.exit(f"error: {argument} has no image in it; give image files or folders of them")
        paths += [argument] if names is None else [str(pathlib.Path(path, n)) for n in names]
    return paths


def opened(path: str) -> Image.Image:
    """An image file in one of the formats that are read, whatever it is called; not yet decoded."""
    Image.init()
    if pathlib.Path(path).exists() and not pathlib.Path(path).is_file():
        raise ValueError(f"{path} is no file but a folder, a pipe or a device")
    try:
        return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            start = file.read(64).lstrip().lower()
        what = ""
        if start.startswith(b"version https://git-lfs"):
            what = "a Git LFS pointer, "
        if start.startswith((b"<!doctype html", b"<html")):
            what = "a web page, "
        raise ValueError(f"{path} is {what}in none of the formats {', '.join(FORMATS)}") from None


def standard(image: Image.Image) -> Image.Image:
    """Decoded, upright as EXIF says, 8 bits per channel; 16-bit grey is scaled by the bits used."""
    deep = image.format in ("PNG", "TIFF") and not image.mode.startswith("I")
    deep = deep and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    image.load()
    if deep and 0 < np.asarray(image.convert("RGB")).max() < 16:
        raise ValueError("16-bit colours use 12 bits or fewer; save it with 8 bits per channel")
    if image.mode == "F":
        raise ValueError("floating-point pixels; save it with 8 bits per channel")
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block
        turn = None
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError("integer pixels outside 0..65535; save it with 8 bits per channel")
        bits = next(b for b in (8, 10, 12, 16) if grey.max() < 1 << b)
        if image.format == "PPM":
            bits = 16
        if getattr(image, "tag_v2", {}).get(258) == (12,):
            bits = 12
        largest = (1 << bits) - 1
        image = Image.fromarray(((grey * 255 + largest // 2) // largest).astype(np.uint8))
    return image if turn is None else image.transpose(turn)


def read(path: str) -> np.ndarray:
    """An image file as (S, S, 3) uint8: shorter side resized, middle square cut out."""
    size, resize = DATA["image_size"], DATA["resize"]
    rule = DATA.get("cut", {"filter": "BILINEAR", "rgb_first": True, "floor_crop": False})
    resampling = Image.Resampling[rule["filter"]]
    with opened(path) as file:
        image = standard(file)
        image.info.pop("transparency", None)
        if rule["rgb_first"]:
            image = image.convert("RGB")
    if resize == "stretch":
        image = image.resize((size, size), resampling)
    elif resize is not None or image.size != (size, size):
        short, (width, height) = resize or size, image.size
        long = int(short * max(width, height) / min(width, height))
        scaled = (short, long) if width <= height else (long, short)
        scaled = (short, short) if rule.get("stretch") else scaled  # ALIGN
        image = image.resize(scaled, resampling)
        offsets = ((length - size) / 2 for length in image.size)
        left, top = (int(x) if rule["floor_crop"] else round(x) for x in offsets)
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image.convert("RGB"))


def calibration() -> np.ndarray:
    """The sorted scores (n,) of the held-out images, out of the file of arrays."""
    content = (HERE / "detector.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    entry = json.loads(content[8:start])["calibration"]
    begin, end = (start + offset for offset in entry["data_offsets"])
    return np.sort(np.frombuffer(content[begin:end], f"<f{int(entry['dtype'][1:]) // 8}"))


def level(text: str) -> tuple[np.ndarray, float]:
    """The sorted scores of held-out images, and the threshold that has the level --alpha=TEXT."""
    try:
        alpha = float(text)
    except ValueError:
        alpha = np.nan
    held_out = calibration()
    rank = int((alpha + 1e-12) * (held_out.size + 1)) if 0 < alpha < 1 else 0
    if not rank:
        sys.exit(f"--alpha lies between 1/{held_out.size + 1} and 1 with these, got {text}")
    return held_out, float(held_out[rank - 1])


def records(
    paths: list[str], scorer: export.Exported, held_out: np.ndarray | None, threshold: float
) -> list[dict]:
    """What is printed of each image; "error" is in that of one that cannot be read."""
    results: list[dict] = [{"image": path} for path in paths]
    images = {}
    for i, path in enumerate(paths):
        try:
            images[i] = read(path)
        except Exception as e:  # decoders raise whatever they like
            results[i]["error"] = str(e)
    if not images:
        return results
    result = scorer.call(np.stack(list(images.values())))
    for row, i in enumerate(images):
        score = float(result["score"][row])
        results[i] |= {
            "score": score,
            "in_distribution": score >= threshold,
            "threshold": threshold,
            "detector": DETECTOR["detector"],
        }
        if held_out is not None:
            not_larger = int(np.searchsorted(held_out, result["score"][row], side="right"))
            results[i]["p_value"] = (1 + not_larger) / (held_out.size + 1)
        if "class" in result:
            number = int(result["class"][row])
            results[i] |= {"class": number, "class_name": DATA["class_names"][number]}
            results[i]["class_by"] = DETECTOR["class_by"]
    return results


def main(paths: list[str]) -> int:
    """Prints the records in order; 2 if an image could not be read."""
    held_out, threshold = None, DETECTOR["threshold"]
    if paths[0].startswith("--alpha="):
        held_out, threshold = level(paths[0].partition("=")[2])
        paths = paths[1:]
    paths = expanded(paths)
    scorer = export.deserialize(bytearray((HERE / "scorer.stablehlo").read_bytes()))
    code = 0
    for start in range(0, len(paths), BLOCK):
        for record in records(paths[start : start + BLOCK], scorer, held_out, threshold):
            code = 2 if "error" in record else code
            print(json.dumps(record))
    return code


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__)
        sys.exit()
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
