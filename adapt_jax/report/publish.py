"""From scored detectors to what a run's folder and the console show; shared by every evaluation."""

import pathlib
import shutil
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapt_jax.data.set_names import ID
from adapt_jax.report import page
from adapt_jax.results import result_files, tables
from adapt_jax.results.scored import Scored, lacking
from adapt_jax.results.scores import save_scores
from adapt_jax.runtime import processes, provenance
from adapt_jax.workdir import logbook

SHOWN = ("fpr95", "fpr95_idpos_nearest", "auroc", "aupr_in")  # on the console; files have all
_MOST_ROWS = 60  # on the console; above that, the means of groups


def write(
    workdir: pathlib.Path,
    *,
    config,
    facts: Mapping[str, Any],
    scored: Scored,
    groups: Mapping[str, str],
    sets: Mapping[str, Any],
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    title: str,
    class_names: Sequence[str] = (),
    prototypes: np.ndarray | None = None,
    images_of: Mapping[str, str] = types.MappingProxyType({}),
    console,
) -> None:
    """Writes scores/, results.json, results.csv, report.html, and shows the table.

    Args:
      workdir: of the run; results of an earlier evaluation are replaced.
      config: with `ood`, `seed`, `report`, `full_spectrum`.
      facts: of the header, see `result_files.header`, and what else belongs there.
      scored: what the detectors said.
      groups: of every OOD set.
      sets: `images` (or None), `labels` and `names` by set, the ID test set under "id".
      arrays: outputs by set; the report pictures their embeddings, else features.
      title: what was evaluated.
      class_names: of the labels.
      prototypes: (K, C, D), pictured with embeddings.
      images_of: the set whose images were scored, by key of the scores, where that is not the set
        of that name: the ID images in the stream of an OOD set have scores of their own.
      console: where the table goes.
    """
    required = {k: facts[k] for k in ("id", "method", "model", "checkpoint_sha256")}
    protocol = config.ood + (" (full-spectrum)" if config.full_spectrum else "")
    header = result_files.header(protocol=protocol, seed=config.seed, **required) | dict(facts)
    header |= {
        "full_spectrum": config.full_spectrum,
        "searched": scored.searched,
        "unfit": scored.unfit,
        "failed": scored.failed,
        "seconds": {d: {k: round(v, 3) for k, v in s.items()} for d, s in scored.seconds.items()},
        "peak_memory_bytes": provenance.host_peak_bytes(),
        "config": config.to_dict(),
    }
    if not processes.is_main():
        return
    shutil.rmtree(workdir / "scores", ignore_errors=True)  # those of another evaluation
    for detector, by_set in scored.scores.items():
        for name, values in by_set.items():
            found = sets[images_of.get(name, name)]
            path = workdir / "scores" / detector / f"{name}.npz"
            save_scores(path, values, found.names, found.labels)
    (workdir / "report.html").unlink(missing_ok=True)
    result_files.write(workdir, header, scored.rows)
    if config.report:
        picture = {}
        if prototypes is not None:
            flat = prototypes.reshape(-1, prototypes.shape[-1])
            labels = np.arange(len(flat)) % prototypes.shape[-2]
            picture = {"prototypes": flat, "prototype_labels": labels}
        images = {s: d.images for s, d in sets.items() if d.images is not None}
        key = "embeddings" if "embeddings" in arrays[ID] else "features"
        page.write(
            workdir,
            title=title,
            config=config.to_dict(),
            header=header,
            rows=scored.rows,
            scores=scored.scores,
            groups=groups,
            history=logbook.read(workdir),
            embeddings={s: arrays[s][key] for s in sets},
            id_labels=sets[ID].labels,
            class_names=class_names,
            images=images if len(images) == len(sets) else None,
            names={s: d.names for s, d in sets.items()},
            **picture,
        )
    show(header, scored, workdir, title, console)


def show(header: Mapping[str, Any], scored: Scored, workdir, title: str, console) -> None:
    """The table and where the files are, on the console."""
    rows, keys = scored.rows, tables.KEYS
    if len(rows) > _MOST_ROWS:
        rows = [r for r in rows if r["ood"] == tables.MEAN]
        keys = {k: heading for k, heading in keys.items() if k != "ood"}
        title = f"{title}; means of groups, every set is in results.csv"
    console.print(tables.table(rows, SHOWN, title=title, keys=keys))
    lists = header.get("lists_sha256", "")[:12]
    notes = [f"protocol: {header['protocol']}" + (f"; image lists {lists}" if lists else "")]
    for detector, found in scored.searched.items():
        chosen = ", ".join(f"{k}={v}" for k, v in found["chosen"].items())
        notes.append(f"searched on {header['val']} and {header['ood_val']}: {detector}: {chosen}")
    reasons: dict[str, list[str]] = {}
    for detector, reason in scored.unfit.items():
        what = reason.removeprefix(f"{detector.partition('?')[0]}.fit: ")
        reasons.setdefault(what.removesuffix("."), []).append(detector)
    for reason, left in reasons.items():
        notes.append(f"left out: {', '.join(left)}: {reason}")
    accuracies = {k: v for k, v in header.items() if k.endswith("accuracy")}
    if accuracies:
        named = (f"{k.replace('_', ' ')} {100 * v:.2f} %" for k, v in accuracies.items())
        notes.append(f"on {header['id']}: {', '.join(named)}")
    notes.append(f"results: {workdir / 'results.json'}, {workdir / 'results.csv'}")
    if header["config"].get("report"):
        notes.append(f"report:  {workdir / 'report.html'}")
    for note in notes:
        console.print(note, highlight=False, markup=False)


def read_or_raise(workdir: pathlib.Path, scored: Scored) -> dict[str, Any]:
    """What results.json holds; InputError if a detector that was named is not in it."""
    processes.wait("results")
    lacking(scored)
    return result_files.read(workdir)
