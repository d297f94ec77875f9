"""Train a small network on scikit-learn's handwritten digits with torch, recorded by provml.

    pip install 'provml[demo]' torch
    python train_torch.py [--epochs 12] [--store provenance]

What provml needs of the script: the import, `start_run`, and the ``log_*`` lines.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import provml
from provml import Context


def datasets() -> dict[str, TensorDataset]:
    """The digits, 8 x 8 pixels of 0 to 16, in three parts."""
    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    indices = list(range(len(labels)))
    train, rest = train_test_split(indices, test_size=0.4, random_state=0, stratify=labels)
    valid, test = train_test_split(rest, test_size=0.5, random_state=0, stratify=labels[rest])
    parts = {"train": train, "validation": valid, "test": test}
    return {name: TensorDataset(images[part], labels[part]) for name, part in parts.items()}


def log_dataset(name: str, data: dict[str, TensorDataset], context: Context) -> None:
    """Record a part of the data in the context that uses it."""
    images, labels = data[name].tensors
    provml.log_dataset(name, {"images": images, "labels": labels}, context=context)


@torch.no_grad()
def evaluate(model: nn.Module, data: TensorDataset) -> dict[str, float]:
    """Loss and accuracy on a data set."""
    model.eval()
    images, labels = data.tensors
    logits = model(images)
    return {
        "loss": nn.functional.cross_entropy(logits, labels).item(),
        "accuracy": (logits.argmax(1) == labels).float().mean().item(),
    }


def train(epochs: int, lr: float, batch_size: int) -> None:
    """Train, validate after every epoch, evaluate at the end."""
    torch.manual_seed(0)
    provml.log_params({"epochs": epochs, "lr": lr, "batch_size": batch_size, "seed": 0})
    provml.log_source_code()
    provml.log_environment()

    data = datasets()
    log_dataset("train", data, Context.TRAINING)
    log_dataset("validation", data, Context.VALIDATION)

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr)
    loader = DataLoader(data["train"], batch_size, shuffle=True)

    provml.log_execution_start_time()
    step = 0
    for epoch in range(epochs):
        model.train()
        for images, labels in loader:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            provml.log_metric("loss", loss, Context.TRAINING, step, epoch=epoch)
            provml.log_flops_per_batch(
                "training", Context.TRAINING, step, model=model, batch=images, epoch=epoch
            )
            step += 1
        metrics = evaluate(model, data["validation"])
        provml.log_metrics(metrics, Context.VALIDATION, step, epoch=epoch)
        print(f"epoch {epoch:2}  " + "  ".join(f"{k} {v:.4f}" for k, v in metrics.items()))
    provml.log_execution_end_time()

    log_dataset("test", data, Context.EVALUATION)
    metrics = evaluate(model, data["test"])
    provml.log_metrics(metrics, Context.EVALUATION)
    print("test      " + "  ".join(f"{k} {v:.4f}" for k, v in metrics.items()))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.pt"
        torch.save(model.state_dict(), path)
        provml.log_model("digits", path, context=Context.TRAINING, step=step - 1)


def main() -> None:
    """Read the command line, train, say where the record is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--store", default=None)
    arguments = parser.parse_args()
    with provml.start_run("digits-torch", store=arguments.store) as run:
        train(arguments.epochs, arguments.lr, arguments.batch_size)
    print(f"recorded in {run.path}")


if __name__ == "__main__":
    main()
