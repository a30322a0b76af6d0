"""Run by dit's own interpreter: one point for each β by its optimizer. Argument: the joint."""

import json
import math
import sys
import time
import warnings

import dit
import numpy as np
from dit.rate_distortion.information_bottleneck import InformationBottleneck

warnings.simplefilter("ignore")
given = np.load(sys.argv[1])
p = given["p"] / given["p"].sum()
outcomes = [(str(x), str(y)) for x in range(p.shape[0]) for y in range(p.shape[1])]
joint = dit.Distribution(outcomes, p.reshape(-1).tolist())
found = []
start, start_cpu = time.perf_counter(), time.process_time()
for beta in given["betas"]:
    solver = InformationBottleneck(joint, beta=float(beta), rvs=[[0], [1]])
    solver.optimize()
    pmf = solver.construct_joint(solver._optima)
    found.append((float(solver.complexity(pmf)), float(solver.relevance(pmf))))
wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
i_xt, i_ty = (np.array(v) * math.log(2) for v in zip(*found, strict=True))
answer = {"beta": given["betas"].tolist(), "i_xt": i_xt.tolist(), "i_ty": i_ty.tolist(), "wall": wall, "cpu": cpu}
print(json.dumps(answer))
