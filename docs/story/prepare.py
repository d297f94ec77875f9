"""Make training and test data out of raw measurements."""

import numpy as np

import provml

rng = np.random.default_rng(0)
points = rng.normal(size=(600, 4))
labels = points @ [2.0, -1.0, 0.5, 0.0] + rng.normal(size=600) > 0
np.savetxt("raw.csv", np.column_stack([points, labels]), delimiter=",", fmt="%.6f")

with provml.start_run("prepare", owner="ada"):
    provml.log_param("test_share", 0.25)
    provml.log_dataset("raw", "raw.csv")
    table = np.loadtxt("raw.csv", delimiter=",")
    np.save("train.npy", table[:450])
    np.save("test.npy", table[450:])
    provml.log_artifact("train.npy")
    provml.log_artifact("test.npy")
