"""Describes the environment of a run: packages, machine, and allowed environment variables.

Imports only `content`, `secrets` and `base.text` from provml.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Final

from provml.base.text import printable_path
from provml.collect.content import Facts
from provml.collect.packages import list_packages
from provml.collect.secrets import MASK, is_secret_name, mask_text

_ALLOWED_NAMES: Final = """
    CONDA_DEFAULT_ENV VIRTUAL_ENV LANG LC_ALL TZ OMP_NUM_THREADS MKL_NUM_THREADS
    OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS PYTHONHASHSEED PYTHONOPTIMIZE
    PYTHONDONTWRITEBYTECODE CUDA_VISIBLE_DEVICES CUDA_LAUNCH_BLOCKING CUDA_DEVICE_ORDER
    CUBLAS_WORKSPACE_CONFIG NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
    PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF TORCH_USE_CUDA_DSA TF_DETERMINISTIC_OPS
    TF_FORCE_GPU_ALLOW_GROWTH XLA_FLAGS JAX_PLATFORMS JAX_ENABLE_X64 RANK LOCAL_RANK WORLD_SIZE
    LOCAL_WORLD_SIZE GROUP_RANK MASTER_ADDR MASTER_PORT TORCHELASTIC_RUN_ID
    OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE PMI_RANK PMI_SIZE SLURM_JOB_ID SLURM_JOB_NAME
    SLURM_JOB_PARTITION SLURM_JOB_NUM_NODES SLURM_NNODES SLURM_NTASKS SLURM_PROCID
    SLURM_LOCALID SLURM_NODEID SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_CPUS_PER_TASK
    SLURM_GPUS SLURM_CLUSTER_NAME PBS_JOBID PBS_QUEUE LSB_JOBID LSB_QUEUE COBALT_JOBID
    FLUX_JOB_ID TRANSFORMERS_OFFLINE HF_HUB_OFFLINE TOKENIZERS_PARALLELISM
"""
_ALLOWED: Final = frozenset(_ALLOWED_NAMES.split())
_ALLOWED_PREFIXES: Final = ("NCCL_", "PROVML_")


def describe_host() -> Facts:
    """Describe the machine and the operating system."""
    system = os.uname()
    return {
        "host": system.nodename,
        "system": system.sysname,
        "release": system.release,
        "machine": system.machine,
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": _total_memory_bytes(),
    }


def _total_memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def describe_environment(
    variables: Iterable[str] = (), root: str = "/", *, with_python: bool = True
) -> Facts:
    """Describe the interpreter, the packages, the machine and the allowed environment variables.

    Masks secrets in the variables. Takes about 1 ms per installed package.

    Args:
        variables: names of additional variables to record; ``*`` matches any characters.
        root: the folder that contains ``proc`` and ``run``; tests pass another folder.
        with_python: whether to describe this process's Python interpreter and its packages.
    """
    from fnmatch import fnmatchcase

    patterns = tuple(variables)
    facts: Facts = {}
    if with_python:
        facts = {
            "python": sys.version,
            "implementation": sys.implementation.name,
            "executable": sys.executable,
            "packages": list_packages(),
        }
    facts |= {
        "variables": {
            name: MASK if _is_secret_variable(name) else mask_text(printable_path(value))
            for name, value in sorted(os.environ.items())
            if name in _ALLOWED
            or name.startswith(_ALLOWED_PREFIXES)
            or any(fnmatchcase(name, pattern) for pattern in patterns)
        },
        "platform": _describe_platform(),
        "cpu": _find_cpu_model(),
        "gpus": _find_gpu_models(root),
        "cuda": _find_cuda_versions(root),
        "container": _describe_container(root),
    }
    return {key: value for key, value in facts.items() if value}


def _is_secret_variable(name: str) -> bool:
    """Return True if an environment variable's name suggests a secret.

    This check is stricter than `is_secret_name`. For example, every name that ends with TOKEN or
    KEY counts as the name of a secret.
    """
    last = name.upper().rpartition("_")[2]
    return last in ("TOKEN", "KEY", "SECRET", "PASS", "PWD") or is_secret_name(name)


def _describe_platform() -> str:
    """Return the full name of the operating system, such as ``Debian GNU/Linux 12 (bookworm)``."""
    import platform

    try:
        return printable_path(platform.freedesktop_os_release()["PRETTY_NAME"])
    except (OSError, KeyError):
        return printable_path(platform.platform())


def _find_cpu_model() -> str | None:
    """Return the processor's model name; None if it is unknown."""
    for line in _read_text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    import platform

    return platform.processor() or None


def _find_gpu_models(root: str) -> list[str]:
    """Return the models of all NVIDIA GPUs that the driver lists.

    The list includes GPUs that this process can't use.
    """
    import glob

    found = []
    for path in sorted(glob.glob(f"{root}proc/driver/nvidia/gpus/*/information")):
        for line in _read_text(path).splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "Model":
                found.append(value.strip())
    return found


def _find_cuda_versions(root: str) -> dict[str, str]:
    """Return the versions of the NVIDIA driver, and of the CUDA and cuDNN libraries of torch.

    Leaves out CUDA and cuDNN if torch has not been imported.
    """
    found: dict[str, str] = {}
    words = _read_text(f"{root}proc/driver/nvidia/version").split()
    driver = next((w for w in words if w.count(".") >= 1 and w.replace(".", "").isdigit()), None)
    if driver is not None:
        found["driver"] = driver
    torch = sys.modules.get("torch")
    built = getattr(getattr(torch, "version", None), "cuda", None)
    if isinstance(built, str):
        found["torch"] = built
        cudnn = torch.backends.cudnn.version()  # type: ignore[union-attr]
        if cudnn is not None:
            found["cudnn"] = str(cudnn)
    return found


def _describe_container(root: str) -> dict[str, str]:
    """Describe the container that this process runs in, as far as this process can see it.

    Podman and Apptainer reveal the image. Docker and Kubernetes reveal only the container's id.
    """
    found: dict[str, str] = {}
    for line in _read_text(f"{root}run/.containerenv").splitlines():
        name, _, value = line.partition("=")
        if name in ("image", "imageid", "id") and value.strip('"'):
            found[name] = value.strip('"')
    for variable in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        if os.environ.get(variable):
            found.setdefault("image", printable_path(os.environ[variable]))
    if "id" not in found:
        import re

        inside = os.path.exists(f"{root}.dockerenv") or "KUBERNETES_SERVICE_HOST" in os.environ
        text = _read_text(f"{root}proc/self/cgroup")
        text += _read_text(f"{root}proc/self/mountinfo") if inside else ""
        match = re.search(r"(?:docker|containers|kubepods|containerd|crio)\S*?([0-9a-f]{64})", text)
        if match is not None:
            found["id"] = match[1]
    return found


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(2**20)
    except OSError:
        return ""


def find_login_name() -> str | None:
    """Return the login name of the user who runs this process; None if the user has no name."""
    import getpass

    try:
        return printable_path(getpass.getuser())
    except (KeyError, OSError, ImportError):
        return None
