"""Train a small classifier, recorded by provml."""

import sys

import numpy as np

import provml
from provml import Context

lr = float(sys.argv[1]) if len(sys.argv) > 1 else 0.1

with provml.start_run("classify", run_id=f"lr-{lr}", owner="ada", tags={"kind": "tutorial"}):
    provml.log_params({"lr": lr, "epochs": 15, "batch_size": 90})
    provml.log_dataset("train", "train.npy", context=Context.TRAINING)
    table = np.load("train.npy")
    points, labels = table[:, :-1], table[:, -1]
    weights, step = np.zeros(4), 0
    for epoch in range(15):
        for rows in np.array_split(np.arange(450), 5):
            x, y = points[rows], labels[rows]
            guess = 1 / (1 + np.exp(-x @ weights))
            loss = -np.mean(np.log(np.where(y == 1, guess, 1 - guess)))
            weights -= lr * x.T @ (guess - y) / len(y)
            provml.log_metric("loss", loss, Context.TRAINING, step, epoch=epoch)
            step += 1
        accuracy = np.mean((points @ weights > 0) == labels)
        provml.log_metric("accuracy", accuracy, Context.TRAINING, step - 1, epoch=epoch)
    np.save("model.npy", weights)
    provml.log_model("classifier", "model.npy", context=Context.TRAINING, step=step - 1)
