"""Evaluate the trained classifier on the test data, and keep its mistakes."""

import numpy as np

import provml
from provml import Context

with provml.start_run("evaluate", owner="ada"):
    provml.log_dataset("test", "test.npy", context=Context.EVALUATION)
    provml.use_model("model.npy", "classifier", context=Context.EVALUATION)
    table, weights = np.load("test.npy"), np.load("model.npy")
    correct = (table[:, :-1] @ weights > 0) == table[:, -1]
    provml.log_metric("accuracy", correct.mean(), Context.EVALUATION)
    np.savetxt("mistakes.csv", np.flatnonzero(~correct), fmt="%d")
    provml.log_artifact("mistakes.csv", context=Context.EVALUATION)
