"""The system collector as scripts use it: by hand, in a training, subclassed."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from collect.nvml import Device, FakeNvml
from waiting import until

import provml
from provml.collect import (
    GpuCollector,
    SystemMetricsCollector,
    adaptive_configuration,
    measure_overhead,
    suggested_interval_s,
)

TRAINING = provml.Context.TRAINING
KEYS = {
    "cpu_percent",
    "cpu_count_logical",
    "load_average",
    "memory_total",
    "memory_available",
    "memory_used",
    "memory_percent",
    "swap_total",
    "swap_used",
    "disk_total",
    "disk_used",
    "disk_free",
    "disk_percent",
    "network_bytes_sent",
    "network_bytes_recv",
    "network_packets_sent",
    "network_packets_recv",
}
GPU_KEYS = {"gpu_count", "gpu_utilization", "gpu_memory_used", "gpu_memory_total"}


def with_gpus(**options: Any) -> SystemMetricsCollector:
    """A collector of this machine with two fake GPUs."""
    gpus = FakeNvml(Device(), Device(uuid="GPU-1", utilization=12, memory_used=2**30))
    return SystemMetricsCollector(gpu=GpuCollector(gpus), **options)


def until_read(collector: SystemMetricsCollector, alerts: int) -> None:
    """Wait for a background reading, at most a minute."""
    until(lambda: len(collector.get_alerts()) >= alerts)


def test_a_snapshot_by_hand() -> None:
    """A snapshot would lack a value, or contain one that a script can't write to a file."""
    collector = with_gpus(
        collect_interval=2.0, include_per_cpu=True, include_processes=True, process_limit=5
    )
    collector.initialize()
    collector.initialize()
    collector.start()
    current = collector.collect()
    collector.stop()
    assert KEYS | GPU_KEYS | {"gpu", "gpu_temperature", "processes"} <= set(current)
    assert json.loads(json.dumps(current)) == current
    assert len(current["load_average"]) == 3
    assert 0 < len(current["processes"]) <= 5


def test_snapshots_in_a_training(store: Path) -> None:
    """The metrics that a training logs from a snapshot would differ from the snapshot."""
    with provml.start_run("monitored", store=store, formats=()) as run:
        collector = with_gpus(collect_interval=1.0)
        collector.initialize()
        for epoch in range(20):
            run.log_metric("train_loss", 1.0 / (epoch + 1), TRAINING, epoch)
            if epoch % 10 == 0:
                snapshot = collector.collect()
                run.log_metric("cpu_percent", snapshot.get("cpu_percent", 0), TRAINING, epoch)
                if "gpu" in snapshot:
                    for i, gpu in enumerate(snapshot["gpu"]):
                        for key in ("utilization", "memory_percent", "temperature"):
                            run.log_metric(f"gpu_{i}_{key}", gpu.get(key, 0), TRAINING, epoch)
    recorded = provml.load(run.path)
    assert recorded.series("gpu_1_utilization", TRAINING).value.tolist() == [12, 12]
    assert recorded.series("gpu_0_memory_percent", TRAINING).step.tolist() == [0, 10]
    assert len(recorded.series("cpu_percent", TRAINING)) == 2


def test_history_averages_and_maxima(store: Path, tmp_path: Path) -> None:
    """The machine's use over a run could not be summarised, drawn, or stored with it."""
    chart = tmp_path / "resource_usage.svg"
    history: list[dict[str, Any]] = []
    options = {"store": store, "sample_interval_s": 1000, "collect": [with_gpus()]}
    with provml.start_run("analysis", **options) as run:
        collector = SystemMetricsCollector(collect_interval=0.5)
        collector.initialize()
        for _ in range(3):
            metrics = collector.collect()
            metrics["timestamp"] = time.time()
            history.append(metrics)
        memory = [m.get("memory_percent", 0) for m in history]
        average = sum(memory) / len(memory)
        run.log_params({"avg_memory_usage": average, "max_memory_usage": max(memory)})
        run.log_system_metrics(TRAINING, 0)
        live = provml.load(run.path)  # while the job runs
        assert len(live.series("Memory usage", TRAINING)) == 1
        live.plot(chart, "Memory usage", by="time")
        run.log_artifact(chart, "analysis/resource_usage.svg")
    recorded = provml.load(run.path)
    assert recorded.params["avg_memory_usage"] == average
    assert recorded.artifacts()[0].facts["sha256"]
    use = {one.name: one for one in recorded.resources()}
    for name in ("cpu_percent", "memory_percent", "disk_percent", "gpu.0.utilization"):
        found = use.get(name)
        if found is None:
            assert name == "cpu_percent"  # no time had passed for it to be of
            continue
        assert found.minimum <= found.mean <= found.maximum
    assert use["gpu.1.memory_percent"].unit == "%"
    recorded.plot(tmp_path / "again.svg", "memory_percent", "gpu.0.utilization", by="time")
    recorded.plot(tmp_path / "steps.svg", "Memory usage", by="step")


class ExtendedSystemCollector(SystemMetricsCollector):
    """Extended system collector with custom metrics."""

    def collect(self):
        metrics = super().collect()
        metrics.update(self._collect_custom_metrics())
        return metrics

    def _collect_custom_metrics(self):
        custom = {}
        processes = list(psutil.process_iter(["status"]))
        status_counts = {}
        for proc in processes:
            try:
                status = proc.info["status"]
                status_counts[status] = status_counts.get(status, 0) + 1
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                pass
        custom["process_counts"] = status_counts
        custom["total_processes"] = len(processes)
        try:
            custom["open_files"] = len(psutil.Process().open_files())
        except (psutil.AccessDenied, AttributeError):
            custom["open_files"] = -1
        custom["system_uptime_hours"] = (time.time() - psutil.boot_time()) / 3600
        return custom


def test_a_subclass_by_hand() -> None:
    """A subclass's own keys would be missing, or could not be written as JSON."""
    collector = ExtendedSystemCollector(collect_interval=5.0)
    collector.initialize()
    metrics = json.loads(json.dumps(collector.collect(), indent=2))
    own = {"process_counts", "total_processes", "open_files", "system_uptime_hours"}
    assert own | KEYS <= set(metrics)


class AlertingSystemCollector(SystemMetricsCollector):
    """System collector with alerting capabilities."""

    def __init__(self, collect_interval=10.0, thresholds=None):
        super().__init__(collect_interval)
        self.thresholds = thresholds or {
            "cpu_percent": 90.0,
            "memory_percent": 85.0,
            "disk_percent": 95.0,
        }
        self.alerts = []

    def collect(self):
        metrics = super().collect()
        self._check_thresholds(metrics)
        return metrics

    def _check_thresholds(self, metrics):
        timestamp = time.time()
        for metric_name, threshold in self.thresholds.items():
            if metric_name in metrics:
                value = metrics[metric_name]
                if value > threshold:
                    alert = {
                        "timestamp": timestamp,
                        "metric": metric_name,
                        "value": value,
                        "threshold": threshold,
                        "severity": "warning" if value < threshold * 1.1 else "critical",
                    }
                    self.alerts.append(alert)

    def get_alerts(self):
        return self.alerts.copy()


def test_alerts_of_a_subclass_and_of_the_run_agree(store: Path) -> None:
    """A script's own alerts would contradict those that the run recorded."""
    with provml.start_run("alerts", store=store, formats=()) as run:
        collector = AlertingSystemCollector(
            collect_interval=0.01, thresholds={"memory_percent": 0.001, "swap_used": 2.0**60}
        )
        collector.initialize()
        collector.start()
        until_read(collector, 2)
        collector.stop()
        alerts = collector.get_alerts()
        run.log_params(
            {
                "alert_count": len(alerts),
                "max_memory_alert": max(
                    [a["value"] for a in alerts if a["metric"] == "memory_percent"], default=0
                ),
                "critical_alerts": len([a for a in alerts if a["severity"] == "critical"]),
            }
        )
    recorded = provml.load(run.path)
    (alert,) = recorded.alerts()
    first = alerts[0]
    assert (alert.metric, alert.value) == (first["metric"], first["value"])
    assert (alert.threshold, alert.severity) == (first["threshold"], first["severity"])
    assert alert.time_ns / 1e9 == pytest.approx(first["timestamp"], abs=30)
    assert recorded.params["alert_count"] == recorded.params["critical_alerts"] == len(alerts)


def test_a_configuration_for_the_platform() -> None:
    """A script that adapts its settings to the platform would fail on one of them."""
    for system in ("linux", "darwin", "windows", "other"):
        if system == "linux":
            collector = SystemMetricsCollector(
                collect_interval=5.0, include_per_cpu=True, include_processes=True
            )
        elif system == "darwin":
            collector = SystemMetricsCollector(collect_interval=5.0, include_per_cpu=False)
        else:
            collector = SystemMetricsCollector(collect_interval=10.0)
        collector.initialize()
        missing = [m for m in ("cpu_percent", "memory_percent") if m not in collector.collect()]
        assert missing == [], platform.system()


def test_a_configuration_for_the_machine_and_its_overhead(store: Path) -> None:
    """The reading interval would not fit the machine's size, or would not be recorded."""
    collector = SystemMetricsCollector(**adaptive_configuration())
    collector.initialize()
    interval_s = suggested_interval_s(measure_overhead(collector, 0.1, readings=3))
    assert interval_s in (5.0, 30.0)
    options = {"store": store, "formats": (), "sample_interval_s": interval_s}
    with provml.start_run("adaptive", collect=[collector], **options) as run:
        pass
    (settings,) = [
        dict(statement.attributes)["prov:value"]
        for statement in provml.load(run.path).statements()
        if statement.kind == "entity" and ("prov:type", "provml:Settings") in statement.attributes
    ]
    found = json.loads(settings.lexical)
    assert found["interval_s"] == collector.collect_interval
    configured = adaptive_configuration()
    for name in ("include_per_cpu", "include_processes"):
        assert found[name] is configured[name]
    tracked = {"track_system", "track_disk", "track_network", "track_gpu"}
    assert tracked | {"process_limit"} <= set(found)


@pytest.mark.parametrize("option", ["interval", "track_gpus", "metrics_interval"])
def test_an_unknown_setting_is_rejected(store: Path, option: str) -> None:
    """A misspelt setting would have no effect, silently."""
    with pytest.raises(TypeError, match=option):
        SystemMetricsCollector(**{option: 1})
    with pytest.raises(TypeError, match=option):
        provml.start_run("settings", store=store, **{option: 1})
    assert not store.exists()


def test_parts_are_left_out_by_their_settings() -> None:
    """A part of the machine that a script excluded would be read."""
    for part, keys in {
        "track_system": {"cpu_percent", "memory_percent", "load_average", "swap_used"},
        "track_disk": {"disk_percent", "disk_read_bytes"},
        "track_network": {"network_bytes_sent", "network_packets_recv"},
        "track_gpu": {"gpu", "gpu_count", "gpu_utilization"},
    }.items():
        reading = with_gpus(**{part: False}).collect()
        assert not keys & set(reading)
        assert {"memory_percent", "disk_percent", "gpu"} - keys <= set(reading)
