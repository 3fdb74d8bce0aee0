"""The CPU quota of cgroups, read from a fake /proc and fake cgroup file systems."""

import pytest

from gopy import runtime
from gopy._cpu import cgroup_quota

V2 = "30 1 0:25 / {root} rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "31 1 0:26 / {root} rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V1_OTHERS = (
    "32 1 0:27 / {other} rw - cgroup cgroup rw,cpuset\n33 1 0:28 / {other} rw - cgroup cgroup rw,cpuacct\n"
)
TMPFS = "29 1 0:24 / {other} rw - tmpfs tmpfs rw,cpu\n"


@pytest.fixture
def quota(tmp_path):
    """quota(mountinfo, cgroup, files) -> cgroup_quota() of a process that sees these."""

    def quota(mountinfo, cgroup, files=()):
        root, other, proc = tmp_path / "cgroup", tmp_path / "other", tmp_path / "proc"
        for path in (root, other, proc):
            path.mkdir()
        if mountinfo is not None:
            (proc / "mountinfo").write_text(mountinfo.format(root=root, other=other))
        if cgroup is not None:
            (proc / "cgroup").write_text(cgroup)
        for name, text in dict(files).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return cgroup_quota(proc=str(proc))

    return quota


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"a/b/cpu.max": "150000 100000\n"}, 1.5),
        ({"a/b/cpu.max": "max 100000\n"}, None),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),  # each one above binds too
        ({"a/b/cpu.max": "300000 100000\n", "a/cpu.max": "200000 100000\n", "cpu.max": "max 100000\n"}, 2.0),
        ({"cpu.max": "400000 100000\n"}, 4.0),
        ({}, None),
        ({"a/b/cpu.max": ""}, None),
        ({"a/b/cpu.max": "x y\n"}, None),
        ({"a/b/cpu.max": "0 0\n"}, None),
    ],
)
def test_v2(quota, files, limit):
    """cpu.max of the process's cgroup and of every one above it: the least."""
    assert quota(V2, "0::/a/b\n", files) == limit


def test_v2_at_the_root(quota):
    """In a container with its own cgroup namespace the process's cgroup is the root."""
    assert quota(V2, "0::/\n", {"cpu.max": "250000 100000\n"}) == 2.5


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"a/b/cpu.cfs_quota_us": "150000\n", "a/b/cpu.cfs_period_us": "100000\n"}, 1.5),
        ({"a/b/cpu.cfs_quota_us": "-1\n", "a/b/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"}, 0.5),  # mounted as the root
        ({"a/b/cpu.cfs_quota_us": "150000\n"}, None),
        ({}, None),
    ],
)
def test_v1(quota, files, limit):
    """cfs_quota_us over cfs_period_us, found by the controller `cpu` among the other hierarchies."""
    cgroup = "7:cpuset:/c\n5:cpu,cpuacct:/a/b\n4:cpuacct:/d\n1:name=systemd:/x\n"
    assert quota(TMPFS + V1_OTHERS + V1, cgroup, files) == limit


def test_hybrid_takes_the_lesser(quota):
    """With v1 and v2 mounted side by side whichever limits more counts."""
    files = {
        "a/cpu.max": "300000 100000\n",
        "a/cpu.cfs_quota_us": "200000\n",
        "a/cpu.cfs_period_us": "100000\n",
    }
    assert quota(V2 + V1, "5:cpu,cpuacct:/a\n0::/a\n", files) == 2.0


@pytest.mark.parametrize(
    ("mountinfo", "cgroup"),
    [(None, None), (None, "0::/a\n"), (V2, None), ("", ""), (V1, "0::/a\n"), ("nonsense\n", "nonsense\n")],
)
def test_nothing_to_read(quota, mountinfo, cgroup):
    """No /proc, no mount, no cgroup, or one in another format: no limit, and no error."""
    assert quota(mountinfo, cgroup) is None


@pytest.mark.parametrize(("limit", "cpus"), [(None, 4), (0.1, 1), (1.0, 1), (1.01, 2), (3.5, 4), (64.0, 4)])
def test_num_cpu_is_the_quota_rounded_up(limit, cpus, monkeypatch):
    """Affinity and quota, whichever is less; a fraction of a CPU counts as one."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr("gopy._cpu.cgroup_quota", lambda: limit)
    assert runtime.num_cpu() == cpus
