"""Lines that a framework prints are not read, if an integration records the framework."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
from capture.scripts import run_script

import provml
from provml.capture.command import supervisor
from provml.capture.framework_lines import PRINTED_BY, FrameworkLines, announce

PRINTED = {
    "catboost": ["0:\tlearn: 0.6845\ttest: 0.6871\tbest: 0.6871 (0)\ttotal: 47ms\tremaining: 2s"],
    "ignite": ["Epoch [1/2]: [3/5]  60%|██████    , batch loss=1.43 [00:00<00:00]"],
    "keras": [
        "Epoch 2/3",
        "4/4 ━━━━━━━━━━━━━━━━━━━━ 0s 8ms/step - loss: 3.1234 - mae: 1.6 - val_loss: 3.5",
        "938/938 [==============================] - 3s 2ms/step - loss: 0.21 - val_loss: 0.18",
        "4/4 - 0s - 8ms/step - loss: 3.1",
        "Epoch 3: val_loss improved from 0.25 to 0.18, saving model to best.keras",
    ],
    "lightgbm": ["[10]\tvalid_0's l2: 0.21\tvalid_0's auc: 0.8"],
    "lightning": [
        "Epoch 1: 100%|██████████| 8/8 [00:00<00:00, 50.1it/s, v_num=0, train_loss=0.5]",
        "Epoch 1/1  ━━━━━━━━━━━━━━━━ 8/8 0:00:00 • 0:00:00 130.48it/s v_num: 0.0 train_loss: 0.5",
        "Testing ━━━━━━━━━━━━━━━━━━━━━━━━ 8/8 0:00:00 • 0:00:00 137.24it/s",
        "│         test_loss         │   0.0007211640477180481   │",
        "0 | net  | Sequential | 21     | train",
        "21        Trainable params",
        "0.000     Total estimated model params size (MB)",
    ],
    "optuna": ["[I 2026-11-30 10:00:00,000] Trial 3 finished with value: 0.5 and parameters: {}."],
    "skorch": ["      1        0.6913       0.4167        0.7329     +  0.2924"],
    "transformers": [
        "{'loss': '0.69', 'grad_norm': '1.2', 'learning_rate': '5e-05', 'epoch': '0.25'}",
        "{'eval_loss': 0.6932, 'eval_runtime': 1.499, 'epoch': 1.0}",
    ],
    "xgboost": ["[0]\teval-logloss:0.48\ttrain-auc:0.9"],
}
OTHERS = [
    "step 250 | loss 2.3456 | step time 12.3ms",
    '{"metric": "loss", "value": 0.5, "step": 3}',
    "{'loss': 0.5}",
    "loss: 0.12",
    "epoch=3 loss=0.1 acc=0.9",
    "Train Epoch: 3 [640/60000 (1%)]\tLoss: 0.412",
    "train:  45%|████▌     | 45/100 [00:03<00:04, 12.3it/s, loss=1]",
    "Episode 10\tLast reward: 12.00\tAverage reward: 10.5",
]


def test_each_framework_is_recognised_once_it_is_announced(tmp_path: Path) -> None:
    """A metric would be recorded twice, or be lost although nothing else records it."""
    for framework in sorted(set(PRINTED) & set(PRINTED_BY)):
        folder = tmp_path / "store" / framework / "run"
        folder.mkdir(parents=True)
        lines = FrameworkLines(folder)
        assert not any(map(lines.repeats_record, PRINTED[framework]))
        announce(folder, framework)
        announce(folder, framework)
        assert [line for line in PRINTED[framework] if not lines.repeats_record(line)] == []
        assert [line for line in OTHERS if lines.repeats_record(line)] == []
        lines.remove_marks()
        assert list(folder.iterdir()) == []


def test_output_that_a_script_captures_itself(tmp_path: Path) -> None:
    """A callback of ours and `provml.capture_output` would record the same values twice."""
    line = "4/4 ━━━━━━━━━━━━━━━━━━━━ 0s 8ms/step - loss: 3.5 - mae: 1.6"
    script = f"""
    import provml
    from provml.integrations._printed_lines import announce_printed_lines
    with provml.start_run("x"), provml.capture_output():
        print({line!r})
        print("done")
    announce_printed_lines("keras")
    with provml.start_run("x"), provml.capture_output():
        print({line!r})
    """
    done = run_script(tmp_path / "work", textwrap.dedent(script), (), {})
    assert done.returncode == 0, done.stderr
    runs = sorted((tmp_path / "work" / "provenance" / "x").iterdir())
    counts = sorted(len(provml.load(run).series_names()) for run in runs)
    assert counts == [0, 2]


def test_lines_that_a_script_prints_itself_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The own lines of a script that uses a framework, or its patterns, would no longer count."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(
        "from provml.integrations._printed_lines import announce_printed_lines\n"
        "announce_printed_lines('keras')\n"
        "print('4/4 ━━━━━━━━━━━━━━━━━━━━ 0s 8ms/step - loss: 3.5 - mae: 1.6')\n"
        "print('938/938 is 7 percent')\n"
        'print(\'{"metric": "own", "value": 2, "step": 1}\')\n'
    )
    options = supervisor.CommandOptions(patterns=("{step}/938 is {share} percent",))
    command = (sys.executable, "train.py")
    supervisor.record_command(command, options, store=str(tmp_path / "store"), formats=())
    run = provml.load("latest", store=tmp_path / "store")
    assert sorted(name for name, _ in run.series_names()) == ["own", "share"]
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".printed")] == []
