"""The launchers: what they would run, that arguments arrive unchanged, and when they try again."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), LAUNCH / "slurm.sbatch"])
USES = ("bash", "cat", "dirname", "env", "head", "mkdir", "nohup", "sed", "seq", "setsid", "sleep")
ARGUMENTS = [
    "-m", "adapt_jax.train", "--config=configs/digits_adapt.py",
    "--config.detectors=knn?k=5&normalize=True", "--config.train_data=folder:it's a  \"folder\"",
    "$HOME $(date) `date` $$ \\", "*", "", "~",
]  # fmt: skip
# How each launcher is called; its output is checked below.
CALLS = {
    "again.sh": ["--tries=3", "--", "python"],
    "gpu.sh": ["--gpus=0,1", "--"],
    "k8s.sh": ["--name=run", "--image=me/adapt_jax:1", "--claim=disk", "--hosts=2", "--"],
    "profile.sh": ["--steps=3:5", "--"],
    "sky.sh": ["--bucket=gs://mine", "--gpus=H100:8", "--num-nodes=2", "--"],
    "slurm.sbatch": ["--"],
    "tpu_pod.sh": ["run", "slice", "--zone=us-west4-a", "--"],
    "tpu_vm.sh": ["--"],
}
# Notes down what it was called with, and is whatever it is called.
RECORDER = """#!/usr/bin/env bash
printf '%s\\0' "${0##*/}" "$@" >> "$CALLED"
for name in "${!ADAPT_JAX_@}" JAX_LOCAL_DEVICE_IDS CUDA_VISIBLE_DEVICES; do
  printf '%s=%s\\n' "$name" "${!name-}"
done > "$CALLED.env"
exit "${CODE:-0}"
"""


class Machine:
    """A PATH with the few tools the launchers may use, and stand-ins for the rest."""

    def __init__(self, folder):
        self.folder, self.bin, self.called = folder, folder / "bin", folder / "called"
        self.bin.mkdir()
        for name in USES:
            (self.bin / name).symlink_to(shutil.which(name))
        self.env = {"PATH": str(self.bin), "HOME": str(folder), "CALLED": str(self.called)}

    def add(self, name, text=RECORDER):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, script, *arguments, **env):
        command = [str(self.bin / "bash"), str(LAUNCH / script), *arguments]
        return subprocess.run(
            command, env=self.env | env, cwd=ROOT, capture_output=True, text=True, timeout=30
        )

    def python_got(self):
        """The arguments of the one call of python, and its environment."""
        deadline, env = time.monotonic() + 10, pathlib.Path(f"{self.called}.env")
        last = "\nCUDA_VISIBLE_DEVICES="
        while not (env.exists() and last in env.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        name, *arguments = self.called.read_text().split("\0")[:-1]
        assert name == "python"
        lines = env.read_text().splitlines()
        return arguments, dict(line.split("=", 1) for line in lines)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def dry_run(machine, script, arguments=ARGUMENTS):
    *options, separator = CALLS[script][: CALLS[script].index("--") + 1]
    rest = CALLS[script][len(options) + 1 :]
    done = machine.run(script, *options, "--dry-run", separator, *rest, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_short_and_say_how_to_use_them(script, machine):
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text().splitlines()
    assert len(lines) <= 60
    assert not [line for line in lines if len(line) > 100]
    if script.name == "common.sh":
        return
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in lines
    usage = machine.run(script.name, "--help")
    assert usage.returncode == 0
    assert f"launch/{script.name}" in usage.stdout
    assert "--dry-run" in usage.stdout
    assert "set -euo" not in usage.stdout
    wrong = machine.run(script.name, "--nonsense=1")
    assert wrong.returncode == 2
    assert "error: " in wrong.stderr


def test_shellcheck():
    program = shutil.which("shellcheck", path=f"{pathlib.Path(sys.executable).parent}:{os.defpath}")
    if program is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([program, "-x", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "script", ["again.sh", "gpu.sh", "profile.sh", "slurm.sbatch", "tpu_vm.sh"]
)
def test_dry_run_shows_the_command_that_python_gets(script, machine):
    """None of gcloud, curl, srun, kubectl, sky and python is on this PATH."""
    words = shlex.split(dry_run(machine, script))
    before, after = {
        "again.sh": (["python"], []),
        "gpu.sh": (
            [
                *("env", "CUDA_VISIBLE_DEVICES=0,1", f"{LAUNCH}/again.sh", "--tries=10", "--"),
                "python",
            ],
            [],
        ),
        "profile.sh": (
            ["python"],
            ["--config.profile=3:5", "--config.total_steps=5", "--config.ood="],
        ),
        "slurm.sbatch": (
            ["srun", "--kill-on-bad-exit=0", "--wait=0", "--label", "python"],
            [],
        ),
        "tpu_vm.sh": ([f"{LAUNCH}/again.sh", "--tries=10", "--", "python"], []),
    }[script]
    assert words == [*before, *ARGUMENTS, *after]


@pytest.mark.parametrize("code", [0, 1, 2])
def test_gpu_passes_arguments_environment_and_exit_code(code, machine):
    machine.add("python")
    done = machine.run("gpu.sh", "--gpus=2,3", "--", *ARGUMENTS, CODE=str(code))
    assert done.returncode == code, done.stderr
    arguments, env = machine.python_got()
    assert arguments == ARGUMENTS
    assert env["CUDA_VISIBLE_DEVICES"] == "2,3"


def exits(machine, codes):
    """A command that ends with these codes, one after the other."""
    (machine.folder / "codes").write_text("\n".join(map(str, codes)))
    machine.add(
        "job",
        "#!/usr/bin/env bash\n"
        'echo run >> "$HOME/runs"; code=$(sed -n "$(sed -n "$=" "$HOME/runs")p" "$HOME/codes")\n'
        "exit $code\n",
    )
    done = machine.run("again.sh", "--tries=4", "--pause=0", "--", "job")
    return done.returncode, len((machine.folder / "runs").read_text().splitlines())


@pytest.mark.parametrize("codes", [[0], [1], [2], [130], [137], [143, 75, 134, 0], [143, 2]])
def test_again_goes_on_after_143_75_and_134_only(codes, machine):
    assert exits(machine, codes) == (codes[-1], len(codes))


def test_again_gives_up(machine):
    assert exits(machine, [75] * 9) == (75, 4)


@pytest.fixture
def _heard():
    """What a shell starts in the background ignores SIGINT, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heard")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command_and_ends_it(sent, machine):
    """The command saves on it, which takes a while, and is not started again."""
    machine.add(
        "job",
        "#!/usr/bin/env bash\n"
        "save() { sleep 0.3; echo saved; exit $((128 + $1)); }\n"
        "trap 'save 15' TERM; trap 'save 2' INT\n"
        "echo started; for ((i = 0; i < 600; i++)); do sleep 0.1; done\n",  # ends in any case
    )
    started = subprocess.Popen(
        [str(LAUNCH / "again.sh"), "--pause=0", "--", "job"],
        env=machine.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout.readline() == "started\n"
    started.send_signal(sent)
    rest, _ = started.communicate(timeout=10)
    assert rest == "saved\n"
    assert started.returncode == 128 + sent


@pytest.mark.parametrize(
    ("code", "restarts", "requeues"),
    [(0, 0, 0), (1, 0, 0), (2, 0, 0), (143, 0, 1), (75, 8, 1), (143, 9, 0)],
)
def test_slurm_queues_up_again(code, restarts, requeues, machine):
    machine.add("srun", '#!/usr/bin/env bash\nshift 3\nexec "$@"\n')
    machine.add("scontrol", '#!/usr/bin/env bash\necho "$@" >> "$HOME/requeued"\n')
    machine.add("python")
    copy = machine.folder / "slurm_script"  # where Slurm puts it
    shutil.copy(LAUNCH / "slurm.sbatch", copy)
    done = subprocess.run(
        [copy, "--", *ARGUMENTS],
        env=machine.env
        | {
            "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_JOB_ID": "42",
            "SLURM_GPUS_ON_NODE": "4",
            "SLURM_RESTART_COUNT": str(restarts),
            "CODE": str(code),
        },
    )
    assert done.returncode == code
    arguments, env = machine.python_got()
    assert arguments == ARGUMENTS
    assert env["JAX_LOCAL_DEVICE_IDS"] == "0,1,2,3"
    requeued = machine.folder / "requeued"
    assert (requeued.read_text() if requeued.exists() else "") == "requeue 42\n" * requeues


@pytest.mark.parametrize(
    "endpoints", ["host-0,host-1,host-2", "a:1:10.0.0.1,b:2:10.0.0.2", "host-0"]
)
def test_tpu_hosts_learn_who_they_are_and_start_in_the_background(endpoints, machine):
    """From the workstation's gcloud to the python of a host."""
    machine.add(
        "curl",
        f"""#!/usr/bin/env bash
case ${{@: -1}} in
  */worker-network-endpoints) printf %s {endpoints} ;;
  */agent-worker-number) printf 0 ;;
  *) exit 22 ;;
esac
""",
    )
    machine.add(
        "gcloud",
        """#!/usr/bin/env bash
for word; do [[ $word != --command=* ]] || (cd "$HOME" && bash -c "${word#--command=}"); done
""",
    )
    (machine.folder / "adapt_jax").mkdir()
    (machine.folder / "adapt_jax/launch").symlink_to(LAUNCH)
    python = machine.folder / "adapt_jax/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(RECORDER)
    python.chmod(0o755)
    done = machine.run("tpu_pod.sh", "run", "slice", "--zone=z", "--", *ARGUMENTS)
    assert done.returncode == 0, done.stderr
    arguments, env = machine.python_got()
    assert arguments == ARGUMENTS
    assert env["ADAPT_JAX_COORDINATOR"] == endpoints.split(",")[0].split(":")[-1] + ":8476"
    assert env["ADAPT_JAX_NUM_PROCESSES"] == str(endpoints.count(",") + 1)
    assert env["ADAPT_JAX_PROCESS_ID"] == "0"
    assert (machine.folder / "adapt_jax.pid").read_text().strip().isdigit()


def test_tpu_actions(machine):
    machine.add("mountpoint", "#!/usr/bin/env bash\nexit 1\n")

    def shown(action, *arguments):
        done = machine.run("tpu_pod.sh", action, "slice", "--zone=z", "--dry-run", *arguments)
        assert done.returncode == 0, done.stderr
        return [shlex.split(line) for line in done.stdout.splitlines()]

    gcloud = ["gcloud", "compute", "tpus"]
    ssh = [*gcloud, "tpu-vm", "ssh", "slice", "--worker=all"]
    assert shown("create", "--", "--accelerator-type=v5litepod-16", "--spot") == [
        [*gcloud, "queued-resources", "create", "slice", "--node-id=slice",
         "--accelerator-type=v5litepod-16", "--spot", "--zone=z"]
    ]  # fmt: skip
    refused = machine.run(
        "tpu_pod.sh", "create", "slice", "--zone=z", "--", "--accelerator-type=tpu7x-8"
    )
    assert refused.returncode == 2
    assert "GKE does (launch/k8s.sh)" in refused.stderr
    bundle, copied, setup = shown("setup", "--bucket=mine", "--ref=v1")
    assert bundle[-1] == "v1"
    assert copied[3:5] == ["tpu-vm", "scp"]
    assert setup[:-2] == ssh
    assert setup[-2].endswith("launch/tpu_setup.sh --bucket=mine")
    (setup,) = shown("setup", "--from=https://example.org/x.git", "--ref=main")
    assert "git fetch -q https://example.org/x.git main;" in setup[-2]
    assert shown("stop") == [[*ssh, "--command=kill -TERM $(cat ~/adapt_jax.pid)", "--zone=z"]]
    assert shown("delete")[0][3:] == ["queued-resources", "delete", "slice", "--force", "--zone=z"]
    done = machine.run("tpu_setup.sh", "--bucket=mine", "--dry-run")
    assert "'.[tpu,prepare]'" in done.stdout
    assert "gcsfuse --implicit-dirs --rename-dir-limit=10000" in done.stdout
    assert not (machine.folder / "bucket").exists()


def test_jobset_carries_the_command(machine):
    job = yaml.safe_load(dry_run(machine, "k8s.sh"))
    assert job["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert job["metadata"]["name"] == "run"
    spec = job["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (2, 2, 0)
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [1, 2]
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["command"] == ["python"]
    # Kubernetes reads $$ as $.
    assert [word.replace("$$", "$") for word in container["args"]] == ARGUMENTS
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    env = {entry["name"]: entry for entry in container["env"]}
    assert env["ADAPT_JAX_COORDINATOR"]["value"] == "run-main-0-0.run:8476"
    assert env["ADAPT_JAX_NUM_PROCESSES"]["value"] == "2"


@pytest.mark.parametrize(
    "text", ["x: y", "a'b", '"', "}", "#x", "- x", "*x", "!!python", "{a: b}", " "]
)
def test_no_option_becomes_yaml_of_its_own(text, machine):
    """What an option says is a string of the manifest, or the option is refused."""
    options = {"name": "t", "image": "i", "claim": "c", "chips": "a/b:1", "select": "k=v"}
    for option in ("image", "claim", "select"):
        given = options | {option: f"{text}=v" if option == "select" else text}
        done = machine.run(
            "k8s.sh", *(f"--{k}={v}" for k, v in given.items()), "--dry-run", "--", text
        )
        job = yaml.safe_load(done.stdout)
        pod = job["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["args"] == [text]
        assert pod["containers"][0]["image"] == given["image"]
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == given["claim"]
        assert pod["nodeSelector"] == dict([given["select"].split("=", 1)])
    for option in ("name", "chips", "hosts", "restarts"):
        given = options | {option: f"1{text}"}
        done = machine.run("k8s.sh", *(f"--{k}={v}" for k, v in given.items()), "--", "-V")
        assert done.returncode == 2
    for broken in ("a\nb", "__ARGUMENTS__"):
        given = options | {"image": broken}
        done = machine.run("k8s.sh", *(f"--{k}={v}" for k, v in given.items()), "--", "-V")
        assert done.returncode == 2


def test_jobset_for_tpus(machine):
    done = machine.run(
        *("k8s.sh", "--name=t", "--image=i", "--claim=c", "--chips=google.com/tpu:4"),
        *("--select=cloud.google.com/gke-tpu-topology=4x4,a/b=c", "--dry-run", "--", "-V"),
    )
    job = yaml.safe_load(done.stdout)
    assert list(job["metadata"]["annotations"].values()) == ["cloud.google.com/gke-nodepool"]
    pod = job["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"cloud.google.com/gke-tpu-topology": "4x4", "a/b": "c"}
    assert pod["containers"][0]["resources"]["limits"] == {"google.com/tpu": 4}


def test_skypilot_runs_the_command_on_every_machine(machine):
    words = shlex.split(dry_run(machine, "sky.sh"))
    assert words[:5] == ["sky", "jobs", "launch", "--gpus=H100:8", "--num-nodes=2"]
    assert words[-1] == "launch/sky.yaml"
    given = dict(word.split("=", 1) for before, word in zip(words, words[1:]) if before == "--env")
    task = yaml.safe_load((LAUNCH / "sky.yaml").read_text())
    assert set(task["envs"]) == set(given) == {"BUCKET", "ADAPT_JAX_COMMAND"}
    assert task["file_mounts"]["/data"]["source"] == "${BUCKET}"
    (machine.folder / "launch").symlink_to(LAUNCH)
    (machine.folder / ".venv").symlink_to(machine.folder)  # .venv/bin is the PATH's folder
    machine.add("python")
    nodes = {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NUM_NODES": "2"}
    subprocess.run(
        ["bash", "-c", task["run"]],
        env=machine.env | given | nodes | {"SKYPILOT_NODE_RANK": "1"},
        cwd=machine.folder,
        check=True,
    )
    arguments, env = machine.python_got()
    assert arguments == ARGUMENTS
    assert env["ADAPT_JAX_COORDINATOR"] == "10.0.0.1:8476"
    assert (env["ADAPT_JAX_NUM_PROCESSES"], env["ADAPT_JAX_PROCESS_ID"]) == ("2", "1")


def examples():
    """Every command line of a launcher in the documentation and in the launchers' headers."""
    for page in [ROOT / "docs/launch.md", ROOT / "docs/profiling.md", *SCRIPTS]:
        text = re.sub(r"\\\n(# )? *", "", page.read_text())
        for line in re.findall(
            r"^(?:#   |    )(?:\S+=\S+ |s?ba.*)?(launch/.*)", text, re.MULTILINE
        ):
            if "|" not in line:
                yield re.sub(r"[\[\]]|  +# .*", "", line)


@pytest.mark.parametrize("line", sorted(set(examples())))
def test_examples_are_right(line, machine):
    words = shlex.split(line)
    at = words.index("--") if "--" in words else len(words)
    done = machine.run(words[0].removeprefix("launch/"), *words[1:at], "--dry-run", *words[at:])
    assert done.returncode == 0, done.stderr
    for config in re.findall(r"--config=(\S+)", line):
        assert (ROOT / config).exists()
