"""How many CPUs this process may use."""

import math
import os
import re

from gopy._core import preempt_point


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None


def _ratio(quota: str, period: str) -> float | None:
    try:
        limit, per = int(quota), int(period)
    except ValueError:  # "max": no limit
        return None
    return limit / per if limit > 0 and per > 0 else None


def _v2_quota(root: str, path: str) -> float | None:
    """The least of cpu.max from this cgroup up to the root: each of them binds."""
    least = None
    while True:
        fields = (_read(f"{root}{path}/cpu.max") or "").split()
        limit = _ratio(fields[0], fields[1]) if len(fields) == 2 else None
        if limit is not None and (least is None or limit < least):
            least = limit
        if path in ("", "/"):
            return least
        path = path.rpartition("/")[0]


def _v1_quota(root: str, path: str) -> float | None:
    for folder in (f"{root}{path}", root):  # in a container the own cgroup is often mounted as the root
        quota, period = _read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")
        if quota is not None and period is not None:
            return _ratio(quota, period)
    return None


def cgroup_quota(proc: str = "/proc/self") -> float | None:
    """The CPU limit of this process's cgroup, in CPUs, v2 or v1; None without one. See cgroups(7)."""
    mounts = _read(f"{proc}/mountinfo") or ""
    limits = []
    for line in (_read(f"{proc}/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        path = path.rstrip("/")
        if controllers == "":
            mount = re.search(r"^\S+ \S+ \S+ \S+ (\S+) .*? - cgroup2 ", mounts, re.MULTILINE)
            limits.append(_v2_quota(mount[1], path) if mount else None)
        elif "cpu" in controllers.split(","):
            mount = re.search(
                r"^\S+ \S+ \S+ \S+ (\S+) .*? - cgroup \S+ (?:\S*,)?cpu(?:,|\s|$)", mounts, re.MULTILINE
            )
            limits.append(_v1_quota(mount[1], path) if mount else None)
    return min((limit for limit in limits if limit is not None), default=None)


def num_cpu() -> int:
    """The CPUs that this process may use: its affinity mask, and its cgroup's CPU quota (v1 or v2) rounded
    up; at least 1."""
    preempt_point()
    try:
        n = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        n = os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, n if quota is None else min(n, math.ceil(quota)))
