"""Run by benchmark-mi's own interpreter: one estimate at the package's defaults. Arguments: samples, name, seed."""

import json
import sys
import time

import bmi
import numpy as np

samples, name, seed = np.load(sys.argv[1]), sys.argv[2], int(sys.argv[3])
estimator = {
    "bmi-mine": lambda: bmi.estimators.MINEEstimator(seed=seed, verbose=False),
    "bmi-ksg": lambda: bmi.estimators.KSGEnsembleFirstEstimator(neighborhoods=(5,)),
    "bmi-cca": lambda: bmi.estimators.CCAMutualInformationEstimator(),
}[name]()
start = time.process_time()
nats = float(estimator.estimate(samples["x"], samples["y"]))
print(json.dumps({"nats": nats, "cpu": time.process_time() - start}))
