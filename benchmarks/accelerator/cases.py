"""A plugin of pytest: notes how many recorded cases were right, as each ends.

A row of the table says so of every group from the first case on, so that nothing is lost where
pytest crashes or is stopped; `checks.recorded` marks the rows when all cases have run.
"""

import os
import pathlib

from benchmarks.accelerator.stages import Job

# What other people's programs computed, by what is compared with it; files in tests/.
RECORDED = {
    "metrics": ("metrics/test_ood.py",),
    "methods": (
        "methods/test_adapt_golden.py",
        "methods/test_family_golden.py",
        "methods/test_reweightood_trajectory.py",
    ),
    "networks": ("models/test_golden.py",),
    "detectors": (
        "detectors/test_mahalanobis.py",
        "detectors/test_knn.py",
        "detectors/test_logits.py",
        "detectors/test_geometry.py",
        "detectors/test_shaping.py",
        "detectors/test_input_gradient.py",
    ),
    "CLIP": ("clip/towers/test_towers.py",),
    "zero-shot": ("zero_shot_detectors/test_golden.py", "zero_shot_detectors/test_tanl.py"),
}
NOTES = "ACCELERATOR_NOTES"  # variable with the path of the file of notes
_GROUPS = {f"tests/{file}": group for group, files in RECORDED.items() for file in files}
_ran: dict[str, set[str]] = {}
_wrong: dict[str, list[str]] = {}


def row(group: str) -> str:
    """Name of a group's row."""
    return f"recorded cases: {group}"


def pytest_runtest_logreport(report) -> None:
    """Called by pytest after each part of each case; with xdist, in the main process as well."""
    file, _, name = report.nodeid.partition("::")
    group = _GROUPS.get(file)
    if not group or "PYTEST_XDIST_WORKER" in os.environ:
        return
    if not (report.failed or report.skipped or report.when == "call"):
        return
    ran, wrong = _ran.setdefault(group, set()), _wrong.setdefault(group, [])
    ran.add(name)
    if report.failed and name not in wrong:  # its teardown may fail, too
        wrong.append(name)
    notes = pathlib.Path(os.environ[NOTES])
    job = Job(False, notes.parent, None, notes, notes.parent)
    job.note("right", row(group), tests=len(ran), failed=len(wrong), which=", ".join(wrong[:8]))
