"""The displayed names of readings, and the order of settings."""

from __future__ import annotations

import pytest

from provml.model.reading_names import name_reading, name_summary
from provml.model.setting_order import SettingOrder, find_given


@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        ("system", "cpu_percent", "machine cpu_percent"),
        ("process", "cpu_percent", "process cpu_percent"),
        ("gpu", "gpu_memory_bytes", "gpu_memory_bytes"),
        ("power", "watts", "power watts"),
    ],
)
def test_readings_say_what_was_measured(kind: str, name: str, shown: str) -> None:
    """The CPU share of the machine would look like that of the process."""
    assert name_reading(kind, name) == shown


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("system.cpu_percent.mean", "machine cpu_percent, mean"),
        ("system.process.cpu_percent.max", "process cpu_percent, max"),
        ("system.rank3.process.cpu_percent.mean", "process cpu_percent, mean, rank 3"),
        ("system.gpu_percent.max", "gpu_percent, max"),
        ("system.alert_count", "alert_count"),
        ("loss.mean", "loss.mean"),
    ],
)
def test_summaries_say_what_was_measured(label: str, shown: str) -> None:
    """A summary of the process would look like one of the machine."""
    assert name_summary(label) == shown


def test_settings_come_before_defaults() -> None:
    """A short table would leave out the learning rate, and show the defaults of a library."""
    settings = {
        "torch.threads": "2",
        "model.layers": "3",
        "scheduler": "null",
        "epochs": "8",
        "lr": "0.1",
    }
    order = SettingOrder(["lr"])
    assert order.sort(settings, lambda name: (name, settings[name])) == [
        "lr",
        "epochs",
        "model.layers",
        "torch.threads",
        "scheduler",
    ]
    assert [name for name in settings if order.is_telling(name, settings[name])] == ["epochs", "lr"]


@pytest.mark.parametrize(
    ("label", "metadata", "given"),
    [
        ("settings read", {"given": ["lr", 3]}, ["lr"]),
        ("settings read", '{"given":["lr"]}', ["lr"]),
        ("settings read", "{", []),
        ("settings read", {"given": "lr"}, []),
        ("settings read", None, []),
        ("checkpoint", {"given": ["lr"]}, []),
    ],
)
def test_given_settings_are_read_from_any_metadata(
    label: str, metadata: object, given: list[str]
) -> None:
    """Metadata of another form would end a picture with an error."""
    assert find_given(label, metadata) == given
