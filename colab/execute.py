"""Executes the notebooks and writes their outputs back: `make notebooks`, or by name:

    python colab/execute.py colab/quickstart.ipynb

What differs from run to run without saying anything (time stamps, ids of executions, versions of
the kernel) is left out, so that a diff shows what changed.
"""

import argparse
import pathlib
from collections.abc import Mapping

import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).parent
LONGEST_CELL = 600  # seconds


def execute(path: pathlib.Path, parameters: Mapping | None = None) -> nbformat.NotebookNode:
    """The notebook with its outputs, run from the folder it is in; the file stays as it is.

    Args:
      path: of the notebook.
      parameters: set after the cell with the tag "parameters", as papermill does.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    if parameters:
        tags = [cell.metadata.get("tags", ()) for cell in notebook.cells]
        after = next(i for i, given in enumerate(tags) if "parameters" in given)
        lines = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        notebook.cells.insert(after + 1, nbformat.v4.new_code_cell(lines))
    where = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(
        notebook, timeout=LONGEST_CELL, kernel_name="python3", resources=where
    ).execute()
    return notebook


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Leaves out what means nothing to a reader."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": kernel,
            "language_info": {"name": "python"},
            "colab": notebook.metadata.get("colab", {}),
        }
    )
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in ("tags", "cellView")}


def main() -> None:
    """Executes the notebooks named, or all."""
    parser = argparse.ArgumentParser(description="Executes notebooks and keeps their outputs.")
    parser.add_argument("notebooks", nargs="*", type=pathlib.Path)
    for path in parser.parse_args().notebooks or sorted(FOLDER.glob("*.ipynb")):
        notebook = execute(path.resolve())
        tidy(notebook)
        nbformat.write(notebook, path)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
