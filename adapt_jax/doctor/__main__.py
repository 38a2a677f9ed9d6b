"""Job: checks the files of a finished run against each other and against its images.

    python -m adapt_jax.doctor --workdir=runs/mine [--no_images] [--json]

Each check reports OK, WARN or FAIL with numbers and what to do, see `run_checks` and `set_checks`.
Exit code 1 if anything is FAIL. The network is not run; nothing is changed.
"""

import json

from absl import flags

from adapt_jax.doctor import job
from adapt_jax.doctor.findings import FAIL, STYLES, table
from adapt_jax.runtime import boundary, cli, terminal

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a finished run.")
NO_IMAGES = flags.DEFINE_bool("no_images", False, "Leave the image sets unread.")
JSON = flags.DEFINE_bool("json", False, "Print the findings as JSON.")


def main() -> None:
    """Checks a run; exits with 1 if anything is FAIL."""
    if JSON.value:
        findings = job.diagnose(WORKDIR.value, images=not NO_IMAGES.value)
        print(json.dumps([f._asdict() for f in findings], indent=1))
    else:
        console = terminal.console()
        with terminal.doing(console) as report_progress:
            findings = job.diagnose(
                WORKDIR.value, images=not NO_IMAGES.value, report_progress=report_progress
            )
        if findings and findings[0].what == job.LEARNING:
            console.print(findings[0].detail, style=STYLES[FAIL], highlight=False, markup=False)
        console.print(table(findings))
        of = {s: sum(f.status == s for f in findings) for s in STYLES}
        console.print(", ".join(f"{n} {s}" for s, n in of.items()))
    if any(f.status == FAIL for f in findings):
        raise SystemExit(boundary.EXIT_FAILED)


cli.run(main)
