"""The environment: packages, host, and the environment variables of an allow-list.

Imports `content`, `secrets`.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from provml.collect.content import Facts, printable
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
    """The machine and the operating system."""
    system = os.uname()
    return {
        "host": system.nodename,
        "system": system.sysname,
        "release": system.release,
        "machine": system.machine,
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": _memory_bytes(),
    }


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def describe_environment() -> Facts:
    """Interpreter, packages with their versions, and allowed environment variables, masked.

    Costs a look at every installed package (about 1 ms each).
    """
    return {
        "python": sys.version,
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "packages": _packages(),
        "variables": {
            name: MASK if is_secret_name(name) else mask_text(printable(value))
            for name, value in sorted(os.environ.items())
            if name in _ALLOWED or name.startswith(_ALLOWED_PREFIXES)
        },
    }


def _packages() -> dict[str, str]:
    from importlib import metadata  # takes as long to import as the rest of provml

    packages: dict[str, str] = {}
    for distribution in metadata.distributions():
        try:
            name, version = distribution.metadata["Name"], distribution.version
        except Exception:  # a half-removed package may raise anything; it is not importable either
            continue
        if name:
            packages.setdefault(printable(str(name)), printable(str(version)))
    return dict(sorted(packages.items(), key=lambda item: item[0].lower()))


def login_name() -> str | None:
    """The user that this process runs as; None where the system has no name for it."""
    import getpass

    try:
        return printable(getpass.getuser())
    except (KeyError, OSError, ImportError):
        return None
