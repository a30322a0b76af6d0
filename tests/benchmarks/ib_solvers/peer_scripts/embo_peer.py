"""Run by embo's own interpreter: its curve at its defaults, over the given range of β. Argument: the joint."""

import json
import math
import resource
import sys
import time

import numpy as np
from embo import InformationBottleneck

given = np.load(sys.argv[1])
betas = given["betas"]


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


start, start_cpu = time.perf_counter(), cpu()
solver = InformationBottleneck(pxy=given["p"], minbeta=betas[0], maxbeta=betas[-1], numbeta=len(betas))
i_x, i_y, _, beta = solver.get_bottleneck()
wall, used = time.perf_counter() - start, cpu() - start_cpu
# It answers in bits.
nats = [(np.asarray(v) * math.log(2)).tolist() for v in (i_x, i_y)]
print(json.dumps({"beta": np.asarray(beta).tolist(), "i_xt": nats[0], "i_ty": nats[1], "wall": wall, "cpu": used}))
