"""System readings: exact values of a recorded ``/proc``, this machine, subclasses, alerts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import until

import provml
from provml.collect.containers import find_container_limits
from provml.collect.machine import LinuxMachine, PsutilMachine
from provml.collect.process import ProcessCollector
from provml.collect.readings import UnavailableError, find_unit, flatten_reading
from provml.collect.system import (
    SystemMetricsCollector,
    adaptive_configuration,
    measure_overhead,
    suggested_interval_s,
)

FILES = {
    "proc/stat": "cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 60 0 20 400 20 0 0 0 7 0\n"
    "cpu1 40 0 30 400 30 0 0 0 0 0\nintr 1\nprocs_running 2\n",
    "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\nBuffers: 1 kB\n"
    "SwapTotal: 400 kB\nSwapFree: 300 kB\nHugePages_Total: 0\n",
    "proc/loadavg": "0.50 0.25 0.125 2/300 4242\n",
    "proc/diskstats": "   8 0 sda 10 0 100 5 20 0 40 5 0 5 10\n   8 1 sda1 10 0 100 5 20 0 40 5 0\n"
    " 253 0 dm-0 10 0 100 5 20 0 40 5 0 5 10\n   7 0 loop0 1 0 9 1 0 0 0 0 0 0 0\n",
    "proc/net/dev": "Inter-|   Receive            |  Transmit\n face |bytes packets errs\n"
    "    lo: 999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0\n  eth0:1000 10 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n"
    " wlan0: 1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0\n",
    "proc/self/cgroup": "0::/\n",
    "sys/block/sda/size": "",
    "sys/block/dm-0/size": "",
    "sys/block/loop0/size": "",
    "sys/devices/system/cpu/cpu0/topology/core_cpus_list": "0-1\n",
    "sys/devices/system/cpu/cpu1/topology/core_cpus_list": "0-1\n",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A machine described by recorded files."""
    write(tmp_path, FILES)
    return tmp_path


def collector_of(folder: Path, **options: Any) -> SystemMetricsCollector:
    machine = LinuxMachine(folder / "proc", folder / "sys")
    options = {"track_gpu": False, "cgroup": folder / "sys/fs/cgroup"} | options
    return SystemMetricsCollector(machine=machine, **options)


def later(collector: SystemMetricsCollector) -> None:
    """Make the last reading old enough for the next one to have a CPU share."""
    collector._read_ns -= 10**9
    if collector._used_before is not None:
        collector._used_before = (collector._used_before[0] - 10**9, collector._used_before[1])


def test_every_value(recorded: Path) -> None:
    """A reading would be wrong, in another unit, or counted twice."""
    collector = collector_of(recorded, include_per_cpu=True)
    collector.initialize()
    write(
        recorded,
        {
            "proc/stat": "cpu  160 0 80 810 50 0 0 0 9 0\ncpu0 120 0 20 400 20 0 0 0 7 0\n"
            "cpu1 40 0 60 410 30 0 0 0 0 0\nprocs_running 3\n"
        },
    )
    later(collector)
    reading = collector.collect()
    disk = psutil.disk_usage("/")
    assert abs(reading.pop("disk_used") - disk.used) < 2**30
    assert abs(reading.pop("disk_free") - disk.free) < 2**30
    assert reading.pop("disk_percent") == pytest.approx(disk.percent, abs=1)
    assert reading == {
        "cpu_count_logical": 2,
        "cpu_count_physical": 1,
        "cpu_percent": 90.0,
        "cpu_per_core": [100.0, 75.0],
        "load_average": [0.5, 0.25, 0.125],
        "load_average_1": 0.5,
        "load_average_5": 0.25,
        "load_average_15": 0.125,
        "memory_total": 1000 * 1024,
        "memory_available": 250 * 1024,
        "memory_used": 750 * 1024,
        "memory_percent": 75.0,
        "swap_total": 400 * 1024,
        "swap_used": 100 * 1024,
        "disk_total": disk.total,
        "disk_read_bytes": 100 * 512,
        "disk_write_bytes": 40 * 512,
        "network_bytes_sent": 502,
        "network_bytes_recv": 1001,
        "network_packets_sent": 7,
        "network_packets_recv": 11,
    }
    assert collector.missing == {}


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("proc/stat", {"cpu_percent", "cpu_count_logical", "cpu_count_physical"}),
        ("proc/meminfo", {"memory_percent", "memory_total", "swap_used"}),
        ("proc/loadavg", {"load_average", "load_average_1"}),
        ("proc/diskstats", {"disk_read_bytes", "disk_write_bytes"}),
        ("proc/net/dev", {"network_bytes_sent", "network_packets_recv"}),
    ],
)
@pytest.mark.parametrize("content", [None, "", "garbage\n\xff"])
def test_unreadable_values_are_absent_and_reported(recorded: Path, file, keys, content) -> None:
    """One denied or malformed file would stop all readings, or give 0."""
    if content is None:
        (recorded / file).unlink()
    else:
        (recorded / file).write_text(content)
    reading = collector_of(recorded).collect()
    if file != "proc/net/dev" or content is None:  # without interfaces nothing is sent
        assert not keys & set(reading)
    others = {"cpu_percent", "memory_percent", "load_average", "network_bytes_sent"} - keys
    assert others <= set(reading)


def test_the_reason_is_recorded_once(recorded: Path, store: Path) -> None:
    """Nobody would learn why a reading is missing, or every reading would repeat it."""
    (recorded / "proc/loadavg").unlink()
    collector = collector_of(recorded, collect_interval=0.001)
    options = {"store": store, "formats": (), "sample_interval_s": 5}
    with provml.start_run("missing", collect=[collector], **options) as run:
        for _ in range(3):
            before = collector._machine.memory
            assert before
            collector.collect()
    events = provml.load(run.path).events("collector degraded")
    missing: dict[str, str] = {}
    for event in events:
        assert not set(missing) & set(event.metadata["missing"])
        missing |= event.metadata["missing"]
    assert "No such file" in missing["load_average"]
    assert provml.load(run.path).series_names("system")


def test_this_machine_reads_as_psutil_does() -> None:
    """Reading the kernel's files ourselves would give other numbers than psutil."""
    ours, theirs = LinuxMachine(), PsutilMachine()
    assert ours.cpu_counts()[0] == theirs.cpu_counts()[0]
    mine, other = ours.memory(), theirs.memory()
    assert (mine.total, mine.swap_total) == (other.total, other.swap_total)
    assert abs(mine.available - other.available) < 0.1 * other.total
    assert ours.load() == pytest.approx(theirs.load(), abs=0.5)
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    all_ours, each_ours = ours.cpu_times()
    all_theirs, each_theirs = theirs.cpu_times()
    assert all_ours.busy * tick_s == pytest.approx(all_theirs.busy, rel=0.02, abs=2)
    assert all_ours.total * tick_s == pytest.approx(all_theirs.total, rel=0.02, abs=2)
    assert len(each_ours) == len(each_theirs)
    for field in ("bytes_sent", "bytes_recv"):
        mine_sent, other_sent = getattr(ours.network(), field), getattr(theirs.network(), field)
        assert mine_sent == pytest.approx(other_sent, rel=0.05, abs=10**6)
    own = {process.pid: process for process in ours.processes()}
    their = {process.pid: process for process in theirs.processes()}
    assert own[os.getpid()].name == their[os.getpid()].name
    assert own[os.getpid()].rss == pytest.approx(their[os.getpid()].rss, rel=0.1)


def test_psutil_serves_where_there_is_no_proc(recorded: Path) -> None:
    """On macOS there would be no readings, or different ones from Linux."""
    options = {"track_gpu": False, "include_per_cpu": True, "include_processes": True}
    theirs = SystemMetricsCollector(machine=PsutilMachine(), **options)
    ours = SystemMetricsCollector(machine=LinuxMachine(), **options)
    for collector in (theirs, ours):
        collector.initialize()
        later(collector)
    started = time.monotonic()
    until(lambda: time.monotonic() > started + 0.1)  # that each CPU's time has gone on
    assert set(theirs.collect()) | set(theirs.missing) >= set(ours.collect()) - {"cpu_limit"}
    with pytest.raises(UnavailableError, match=r"provml\[system\]"):
        _without_psutil()


def _without_psutil() -> None:
    import sys
    from unittest.mock import patch

    with patch.dict(sys.modules, {"psutil": None}):
        PsutilMachine()


V2 = {
    "proc/self/cgroup": "0::/job/task\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/job/cpu.max": "50000 100000\n",
    "sys/fs/cgroup/job/cpu.stat": "usage_usec 1000000\nuser_usec 1\n",
    "sys/fs/cgroup/job/memory.max": "max\n",
    "sys/fs/cgroup/job/task/cpu.max": "max 100000\n",
    "sys/fs/cgroup/job/task/memory.max": "409600\n",
    "sys/fs/cgroup/job/task/memory.current": "307200\n",
    "sys/fs/cgroup/job/task/memory.stat": "anon 5\ninactive_file 102400\n",
}
V1 = {
    "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n0::/\n",
    "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "409600\n",
    "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": "307200\n",
    "sys/fs/cgroup/memory/docker/abc/memory.stat": "cache 1\ntotal_inactive_file 102400\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpuacct/docker/abc/cpuacct.usage": "1000000000\n",
}
# within a container that has a namespace of its own the groups' files are at the top
V1_INSIDE = {
    name.replace("/docker/abc", ""): text
    for name, text in V1.items()
    if "/abc" in name or name.startswith("proc")
}


@pytest.mark.parametrize("files", [V2, V1, V1_INSIDE], ids=["v2", "v1", "v1 inside"])
def test_percentages_refer_to_the_container_limits(recorded: Path, files) -> None:
    """In a container with half a CPU, a process that uses it all would appear to use a quarter."""
    write(recorded, files)
    collector = collector_of(recorded)
    collector.initialize()
    write(
        recorded,
        {
            name: text.replace("1000000", "1250000")
            for name, text in files.items()
            if name.endswith(("cpu.stat", "cpuacct.usage"))
        },
    )
    later(collector)
    reading = collector.collect()
    assert reading["cpu_limit"] == 0.5
    assert reading["cpu_percent"] == pytest.approx(50, rel=0.2)  # 0.25 s of half a CPU in 1 s
    assert reading["memory_total"] == 400 * 1024
    assert reading["memory_used"] == 200 * 1024
    assert reading["memory_percent"] == 50
    assert reading["memory_available"] == 200 * 1024


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": ""},
        {"proc/self/cgroup": "0::/../../etc\n"},
        {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        {"sys/fs/cgroup/memory.max": "99999999999\n", "sys/fs/cgroup/cpu.max": "9900000 100000\n"},
        {"sys/fs/cgroup/memory.max": "what\n", "sys/fs/cgroup/cpu.max": "1 0\n"},
    ],
)
def test_without_limits_percentages_refer_to_the_machine(recorded: Path, files) -> None:
    """An unset or unreadable limit would make the percentages wrong."""
    write(recorded, files)
    found = find_container_limits(recorded / "proc", recorded / "sys/fs/cgroup", 2, 1000 * 1024)
    assert found == (None, None)


def test_a_first_reading_is_complete_without_waiting() -> None:
    """A script that reads once would lack the CPU's share, or wait for it."""
    collector = SystemMetricsCollector(collect_interval=5.0)
    collector.initialize()
    reading = collector.collect()
    assert 0 <= reading["cpu_percent"] <= 100
    assert {"cpu_percent", "memory_percent"} <= set(reading)


def test_top_processes(store: Path) -> None:
    """The busiest processes would not be named, or every process would be."""
    collector = SystemMetricsCollector(include_processes=True, process_limit=2, track_gpu=False)
    collector.collect()
    deadline = time.process_time() + 0.1
    while time.process_time() < deadline:
        pass
    rows = collector.collect()["processes"]
    assert len(rows) == 2
    assert all(set(row) == {"pid", "name", "cpu", "rss"} for row in rows)
    assert rows[0]["cpu"] >= rows[1]["cpu"]
    options = {"store": store, "formats": ()}
    with provml.start_run("top", sample_interval_s=100, collect=[collector], **options) as run:
        pass
    values = provml.load(run.path).series("processes", kind="system").value
    assert len(values[0]) == 2 and values[0][0]["pid"] > 0
    assert "processes" not in SystemMetricsCollector(track_gpu=False).collect()


@pytest.mark.parametrize(
    "options",
    [{"collect_interval": 0}, {"collect_interval": "5"}, {"process_limit": -1}],
)
def test_invalid_settings_are_rejected(options) -> None:
    """A misspelt setting would show only after the training."""
    with pytest.raises(provml.InvalidArgumentError):
        SystemMetricsCollector(**options)
    with pytest.raises(TypeError):
        SystemMetricsCollector(interval=3)


# -- subclasses, as users write them ---------------------------------------------------------------


class ExtendedSystemCollector(SystemMetricsCollector):
    """Extended system collector with custom metrics."""

    def collect(self):
        metrics = super().collect()
        metrics.update(self._collect_custom_metrics())
        return metrics

    def _collect_custom_metrics(self):
        processes = list(psutil.process_iter(["status"]))
        counts = {}
        for process in processes:
            counts[process.info["status"]] = counts.get(process.info["status"], 0) + 1
        return {
            "process_counts": counts,
            "total_processes": len(processes),
            "open_files": len(psutil.Process().open_files()),
            "system_uptime_hours": (time.time() - psutil.boot_time()) / 3600,
        }


class AlertingSystemCollector(SystemMetricsCollector):
    """System collector with alerting capabilities."""

    def __init__(self, collect_interval=10.0, thresholds=None):
        super().__init__(collect_interval)
        self.thresholds = thresholds or {"cpu_percent": 90.0, "memory_percent": 85.0}
        self.alerts = []

    def collect(self):
        metrics = super().collect()
        self._check_thresholds(metrics)
        return metrics

    def _check_thresholds(self, metrics):
        for name, threshold in self.thresholds.items():
            if name in metrics and metrics[name] > threshold:
                value = metrics[name]
                severity = "warning" if value < threshold * 1.1 else "critical"
                self.alerts.append({"metric": name, "value": value, "severity": severity})

    def get_alerts(self):
        return self.alerts.copy()


def test_keys_of_a_subclass_are_recorded_in_the_background(store: Path) -> None:
    """The keys of a user's collector would be missing from the run."""
    with provml.start_run("extended", store=store, formats=(), sample_interval_s=0) as run:
        collector = ExtendedSystemCollector(collect_interval=0.01)
        collector.initialize()
        collector.start()
        collector.start()
        until(lambda: b"system_uptime_hours" in _journal(run))
        collector.stop()
        collector.stop()
    recorded = provml.load(run.path)
    names = {name for name, _ in recorded.series_names("system")}
    assert {"total_processes", "open_files", "system_uptime_hours", "memory_percent"} <= names
    assert [name for name in names if name.startswith("process_counts.")]
    uptime = recorded.series("system_uptime_hours", kind="system").value
    assert uptime[0] == pytest.approx((time.time() - psutil.boot_time()) / 3600, rel=0.1)


def _journal(run: provml.Run) -> bytes:
    return b"".join(path.read_bytes() for path in run.path.glob("journal/*.jsonl"))


def test_it_replaces_the_readings_of_the_run(store: Path) -> None:
    """A user's collector would read the system a second time beside the run's."""
    options = {"store": store, "formats": (), "sample_interval_s": 1000}
    with provml.start_run("instead", collect=("system",), **options) as run:
        until(lambda: b'"cpu_count_logical"' in _journal(run))
        collector = SystemMetricsCollector(1000, track_gpu=False, track_disk=False)
        collector.start()
        until(lambda: _journal(run).count(b'"record":"collector"') == 2)
        collector.stop()
    series = provml.load(run.path).series("memory_percent", kind="system")
    assert len(series) == 4  # of each one at once, and one at its end


def test_alerts_as_a_user_writes_them(store: Path) -> None:
    """A collector with its own alerts would alert twice, or not in the background."""
    collector = AlertingSystemCollector(
        collect_interval=0.005, thresholds={"memory_percent": 0.0001}
    )
    with provml.start_run("alerting", store=store, formats=()) as run:
        collector.initialize()
        collector.start()
        until(lambda: len(collector.get_alerts()) >= 3)
        collector.stop()
    alerts = collector.get_alerts()
    alerts.clear()
    assert len(collector.get_alerts()) >= 3
    recorded = provml.load(run.path)
    assert [alert.metric for alert in recorded.alerts()] == ["memory_percent"]
    assert recorded.alerts()[0].severity == "critical"
    readings = recorded.series("memory_percent", kind="system")
    assert len(readings) == len(collector.get_alerts())


def test_built_in_alerts(recorded: Path) -> None:
    """An alert would not name its metric, or would be raised at the wrong value."""
    thresholds = {"memory_percent": 70.0, "load_average_1": 0.25, "swap_used": 10**9, "absent": 0}
    collector = collector_of(recorded, thresholds=thresholds)
    before = time.time()
    collector.collect()
    alerts = collector.get_alerts()
    assert [(a["metric"], a["value"], a["threshold"], a["severity"]) for a in alerts] == [
        ("memory_percent", 75.0, 70.0, "warning"),
        ("load_average_1", 0.5, 0.25, "critical"),
    ]
    assert all(before <= alert["timestamp"] <= time.time() for alert in alerts)
    alerts.clear()
    collector.collect()
    assert len(collector.get_alerts()) == 4
    assert SystemMetricsCollector().thresholds == {
        "cpu_percent": 90.0,
        "memory_percent": 85.0,
        "disk_percent": 95.0,
    }


@pytest.mark.parametrize(("rank", "prefix"), [(None, "system"), ("3", "system.rank3")])
def test_alerts_are_parameters_of_the_run(
    recorded: Path, store: Path, monkeypatch, rank: str | None, prefix: str
) -> None:
    """A run's parameters would not show that one of its machines ran out of memory."""
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("PROVML_RUN_ID", "job")
    collector = collector_of(recorded, thresholds={"memory_percent": 70.0, "load_average_1": 0.25})
    options = {"store": store, "formats": (), "sample_interval_s": 1000}
    with provml.start_run("alerts", collect=[collector], **options) as run:
        until(lambda: b'"record":"alert"' in _journal(run))
    params = provml.load(run.path).params
    assert {name: value for name, value in params.items() if "alert" in name} == {
        f"{prefix}.alert_count": 4,
        f"{prefix}.critical_alerts": 2,
        f"{prefix}.max_alert.memory_percent": 75.0,
        f"{prefix}.max_alert.load_average_1": 0.5,
    }


def test_an_alert_is_recorded_when_it_begins_and_when_it_gets_worse(store: Path) -> None:
    """A training that keeps its CPUs busy would record an alert for every reading."""
    values = [50.0, 95.0, 96.0, 99.5, 98.0, 10.0, 92.0]
    taken: list[float] = []

    class Load:
        name = "load"
        thresholds = {"cpu_percent": 90.0}
        collect_interval = 0.001

        def collect(self) -> dict[str, float]:
            taken.append(values[len(taken)] if len(taken) < len(values) else 10.0)
            return {"cpu_percent": taken[-1]}

    with provml.start_run("onsets", store=store, sample_interval_s=5, collect=[Load()]) as run:
        until(lambda: len(taken) > len(values))
    found = [(alert.value, alert.severity) for alert in provml.load(run.path).alerts()]
    assert found == [(95.0, "warning"), (99.5, "critical"), (98.0, "warning"), (92.0, "warning")]


@pytest.mark.parametrize(
    ("gib", "cpus", "expected"),
    [
        (2, 2, (30.0, False, False)),
        (6, 4, (15.0, True, True)),
        (64, 3, (5.0, True, True)),
        (64, 1, (5.0, False, True)),
    ],
)
def test_a_configuration_for_the_machine_size(gib, cpus, expected) -> None:
    """A small machine would be read as often as a large one."""
    configuration = adaptive_configuration(gib * 2**30, cpus)
    assert tuple(configuration.values()) == expected
    collector = SystemMetricsCollector(**configuration)
    assert collector.include_processes is expected[2]
    assert set(adaptive_configuration()) == set(configuration)


def test_overhead_is_measured_and_limited() -> None:
    """Costly readings would continue at the same rate."""
    collector = SystemMetricsCollector(track_gpu=False)
    often, rarely = measure_overhead(collector, 0.001, 5), measure_overhead(collector, 60.0, 5)
    assert 0 <= rarely < often
    assert suggested_interval_s(5.1) == 30.0
    assert suggested_interval_s(5.0) == 5.0


def test_without_a_run_the_background_still_reads() -> None:
    """A collector started outside of a run would raise, or never alert."""
    collector = AlertingSystemCollector(0.001, {"memory_percent": 0.0001})
    collector.start()
    until(lambda: collector.get_alerts())
    collector.stop()


# -- the process, units ----------------------------------------------------------------------------


def test_the_process_itself() -> None:
    """The training's own use would be another process's, or in other units."""
    collector = ProcessCollector()
    collector.initialize()
    deadline = time.process_time() + 0.2
    while time.process_time() < deadline:
        pass
    reading = collector.collect()
    own = psutil.Process()
    assert reading["cpu_time_s"] == pytest.approx(time.process_time(), abs=0.1)
    assert 0 < reading["cpu_percent"] < 150
    assert reading["memory_rss"] == pytest.approx(own.memory_info().rss, rel=0.1)
    assert reading["threads"] == own.num_threads()
    assert reading["open_files"] == pytest.approx(own.num_fds(), abs=1)
    with pytest.raises(UnavailableError):
        ProcessCollector(pid=2**22 + 1).initialize()


def test_readings_have_flat_names_and_units() -> None:
    """Nested values would be lost, or get a wrong unit."""
    reading = {
        "a": 1,
        "b": {"c": [1.5, {"d_percent": 2}], "text": "x", "on": True, "none": None},
        "deep": {"1": {"2": {"3": {"4": {"5": {"6": 1}}}}}},
    }
    assert list(flatten_reading(reading)) == [("a", 1), ("b.c.0", 1.5), ("b.c.1.d_percent", 2)]
    assert find_unit("b.c.1.d_percent", {}) == "%"
    assert find_unit("gpu.0.memory_used", {}) == "B"
    assert find_unit("gpu.0.temperature", {}) == "Cel"
    assert find_unit("wind", {"wind": "m/s"}) == "m/s"
    assert find_unit("threads", {}) is None


def test_a_kernel_without_buffers_keeps_the_limits(recorded: Path) -> None:
    """A missing line of /proc/meminfo would hide the memory and the CPU limit of the container."""
    meminfo = "MemTotal: 1000 kB\nMemFree: 100 kB\nCached: 50 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    write(recorded, {"proc/meminfo": meminfo, "sys/fs/cgroup/cpu.max": "50000 100000\n"})
    write(recorded, {"sys/fs/cgroup/cpu.stat": "usage_usec 1\n"})
    reading = collector_of(recorded).collect()
    assert reading["memory_available"] == 150 * 1024
    assert reading["cpu_limit"] == 0.5
    (recorded / "proc/meminfo").unlink()
    assert collector_of(recorded).collect()["cpu_limit"] == 0.5


def test_the_first_reading_has_every_cpu(recorded: Path) -> None:
    """A script that reads cpu_per_core would fail at its first reading."""
    write(recorded, {"proc/stat": FILES["proc/stat"].replace("procs_running 2", "procs_running 3")})
    collector = collector_of(recorded, include_per_cpu=True)
    reading = collector.collect()
    assert (reading["cpu_percent"], reading["cpu_per_core"]) == (100.0, [100.0, 100.0])
    assert {"cpu_percent", "cpu_per_core"} <= collector.unrecorded
