"""Downloads and prepares one TensorFlow Datasets set as ArrayRecord files.

    python -m adapt_jax.data.formats.prepare_tfds cifar10 [--data_dir=DIR]

Stock sets need TensorFlow to be prepared, never to be read. So this runs as a process of its own,
and nothing else in the package imports TensorFlow.
"""

import argparse
import sys


def main() -> int:
    """Exit code 0 when the set is ready; else the reason is the last line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="as TFDS calls it: cifar10, name/config, name:1.0.0")
    parser.add_argument("--data_dir", default=None, help="default: TFDS_DATA_DIR or TFDS's own")
    arguments = parser.parse_args()
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(
            arguments.name, data_dir=arguments.data_dir, file_format="array_record"
        )
        builder.download_and_prepare()
    except Exception as error:
        first_line = (str(error).strip() or "no details").splitlines()[0]
        print(f"\n{type(error).__name__}: {first_line}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
