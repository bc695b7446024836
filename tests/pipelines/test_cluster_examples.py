"""What the examples for clusters say is what Slurm, KubeRay and a container builder would do with them."""

import os
import shutil
import subprocess
import sys
import sysconfig
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.check_kuberay import problems_of
from scripts.run_dockerfile import steps_of
from tests.pages import path_with_commands
from tests.pipelines.road import ROOT, assert_same_bytes, environment, run

STRING: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
AMOUNTS: dict[str, Any] = {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}}


def listed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": mapped(required, **properties)}


def mapped(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


POD = mapped(
    spec=mapped(
        ("containers",),
        tolerations=listed(key=STRING, operator=STRING, effect=STRING, value=STRING),
        terminationGracePeriodSeconds=INTEGER,
        containers=listed(
            ("name",),
            name=STRING,
            image=STRING,
            ports=listed(("containerPort",), containerPort=INTEGER, name=STRING),
            envFrom=listed(secretRef=mapped(name=STRING)),
            resources=mapped(requests=AMOUNTS, limits=AMOUNTS),
            volumeMounts=listed(("name", "mountPath"), name=STRING, mountPath=STRING, readOnly=BOOLEAN),
        ),
        volumes=listed(("name",), name=STRING, configMap=mapped(name=STRING), emptyDir=mapped(sizeLimit=STRING)),
    )
)
PARAMETERS: dict[str, Any] = {"type": "object", "additionalProperties": STRING}
RAY_JOB = mapped(
    apiVersion={"type": "string", "enum": ["ray.io/v1"]},
    kind={"type": "string", "enum": ["RayJob"]},
    metadata=mapped(("name",), name=STRING),
    spec=mapped(
        entrypoint=STRING,
        backoffLimit=INTEGER,
        shutdownAfterJobFinishes=BOOLEAN,
        ttlSecondsAfterFinished=INTEGER,
        submissionMode={"type": "string", "enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        rayClusterSpec=mapped(
            ("headGroupSpec",),
            rayVersion=STRING,
            enableInTreeAutoscaling=BOOLEAN,
            autoscalerOptions=mapped(idleTimeoutSeconds=INTEGER),
            headGroupSpec=mapped(("template",), rayStartParams=PARAMETERS, template=POD),
            workerGroupSpecs=listed(
                ("groupName", "maxReplicas", "minReplicas", "template"),
                groupName=STRING,
                replicas=INTEGER,
                minReplicas=INTEGER,
                maxReplicas=INTEGER,
                rayStartParams=PARAMETERS,
                template=POD,
            ),
        ),
    ),
)
"""The fields of KubeRay's RayJob that ours uses, as its definition has them (v1, of the operator 1.4 and later)."""


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "examples/kuberay.yaml").read_text())


def test_the_ray_job_is_one_by_kuberays_schema(job: dict[str, Any]) -> None:
    assert list(problems_of(job, RAY_JOB)) == []
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")


def test_its_pods_agree_with_each_other(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    assert len({container["image"] for pod in pods for container in pod["containers"]}) == 1
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} == volumes
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", "the head runs the driver and nothing else"
    recipe = next(word for word in job["spec"]["entrypoint"].split() if word.endswith(".yaml"))
    mounts = {mount["mountPath"] for mount in pods[0]["containers"][0]["volumeMounts"]}
    assert str(Path(recipe).parent) in mounts


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0, "0 is not of type string"),
        (("spec", "backofLimit"), 2, ".spec.backofLimit: no such field"),
        (("spec", "submissionMode"), "K8s", "'K8s' is none of"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplicas"), True, "True is not of type integer"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec"), {}, ".containers: missing"),
    ],
)
def test_the_check_says_what_is_wrong(job: dict[str, Any], path: tuple[Any, ...], value: Any, said: str) -> None:
    broken = deepcopy(job)
    inner: Any = broken
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    (problem,) = problems_of(broken, RAY_JOB)
    assert said in problem


def test_the_dockerfile_has_known_steps_and_the_ray_of_the_job(job: dict[str, Any]) -> None:
    steps = steps_of((ROOT / "Dockerfile").read_text())
    assert [rest for instruction, rest in steps if instruction == "FROM"] == ["python:${PYTHON}-slim"]
    extras = next(rest for instruction, rest in steps if instruction == "ARG" and rest.startswith("EXTRAS="))
    assert {"ray", "s3"} <= set(extras.partition("=")[2].split(","))
    assert ("ARG", f"RAY={job['spec']['rayClusterSpec']['rayVersion']}") in steps


LISTS = "corpusmill.dataproc.lists.warmup"


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_run_in_a_clean_folder(tmp_path: Path) -> None:
    context, clean = tmp_path / "context", tmp_path / "clean"
    context.mkdir()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(context / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    shutil.copy(ROOT / "constraints.txt", context)
    # Libraries come from this environment and not from an index; corpusmill itself from the wheel.
    more = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    script = [sys.executable, str(ROOT / "scripts/run_dockerfile.py"), str(ROOT / "Dockerfile"), str(clean)]
    base = str(Path(sys.executable).resolve())
    options = ["--context", str(context), "--python", base, "--arg", f"KERNELS={LISTS}"]
    done = subprocess.run([*script, *options], env=environment() | more, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compiled kernels in" in done.stdout
    question = (
        "import corpusmill; from corpusmill.pipelines import kernels; kernels.configure(); "
        "print(corpusmill.__file__, "
        f"kernels.is_compiled({LISTS!r}), kernels.is_compiled('corpusmill.dataproc.dedup.warmup_spans'))"
    )
    inside = {"PATH": f"{clean}/opt/corpusmill/bin:/usr/bin:/bin", "PYTHONPATH": more["PYTHONPATH"]}
    inside |= {"CORPUSMILL_CACHE": f"{clean}/home/mill/cache", "HOME": f"{clean}/home"}
    answer = subprocess.run(["python", "-c", question], env=inside, capture_output=True, text=True, check=True).stdout
    place, compiled, other = answer.split()
    assert place.startswith(f"{clean}/opt/corpusmill/") and (compiled, other) == ("True", "False")
    (tmp_path / "in.jsonl").write_text('{"text": "from a wheel"}\n')
    line = ["corpusmill", "ingest", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out"), "--workers", "1"]
    done = subprocess.run(line, env=inside, capture_output=True, text=True)
    assert done.returncode == 0 and "compiling" not in done.stderr, done.stderr


RECIPE = """
name: on slurm
output: unused
stages:
  documents: {stage: ingest, inputs: ["${stdlib}/json/*.py"], kind: code, part_bytes: 64KiB}
"""
SRUN = '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
GETENT = (
    '#!/bin/bash\n[[ "$1 $2" == "ahostsv4 localhost" ]] && echo 127.0.0.1 STREAM localhost\n'  # no network, no name
)
SCONTROL = '#!/bin/bash\n[[ "$1 $2 $3" == "show hostnames node[1]" ]] && echo localhost\n'


def apart() -> list[str]:
    """What runs a command where it sees no other process, and no network but a loopback of its own: `ray stop`, by
    which `ray symmetric-run` ends, ends every Ray that it sees."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--net", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("processes cannot be run apart here (unshare), and `ray stop` would end other people's")
    return command


@pytest.mark.slow
def test_the_body_of_the_sbatch_script_runs_on_one_machine(tmp_path: Path) -> None:
    command = apart()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("getent", GETENT)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    short = Path(f"/tmp/cm-slurm-{os.getpid()}")
    variables = {
        "PATH": f"{tools}:{path_with_commands()}",
        "RAY_TMPDIR": str(short),
        "SLURM_JOB_NODELIST": "node[1]",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_ON_NODE": "2",
    }
    body = f"ip link set lo up; exec bash {ROOT}/examples/slurm.sbatch {tmp_path}/recipe.yaml {tmp_path}/on-slurm"
    try:
        done = subprocess.run(
            [*command, "bash", "-c", body],
            env=environment(**variables),
            capture_output=True, text=True, timeout=170, cwd=tmp_path,
        )  # fmt: skip
    finally:
        shutil.rmtree(short, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running command on head node" in done.stdout and "documents in" in done.stdout
    assert run(tmp_path / "recipe.yaml", tmp_path / "local", "--workers", "2").returncode == 0
    assert_same_bytes(tmp_path / "local", tmp_path / "on-slurm")
