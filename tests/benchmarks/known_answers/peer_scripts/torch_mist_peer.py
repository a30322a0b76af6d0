"""Run by torch-mist's own interpreter: one estimate at the package's defaults. Arguments: samples, name, seed."""

import json
import sys
import time

import numpy as np
import torch
from torch_mist import estimate_mi

samples, name, seed = np.load(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
torch.manual_seed(seed)
data = tuple(samples[side].astype(np.float32) for side in "xy")
start = time.process_time()
found = estimate_mi(data, estimator=name.removeprefix("torch-mist-"), verbose=False)
nats = float(found[0] if isinstance(found, tuple) else found)
print(json.dumps({"nats": nats, "cpu": time.process_time() - start}))
