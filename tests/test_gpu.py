"""On a machine with a GPU: training, resuming, saving and the notebooks' calls work there, and agree with the CPU."""

import os
import shutil
import subprocess
import sys

import pytest

CODE = """
import sys, warnings
import numpy as np, torch
if not torch.cuda.is_available():
    sys.exit(77)
import helo
from helo.training.stacking import fit_together
from helo.transport import plan
data = helo.load("circumplex", windows=30)  # needs no NeuroKit2
split = helo.splits.by_subject(data, 3)[0]
torch.manual_seed(1); torch.cuda.manual_seed(1); state = torch.cuda.get_rng_state()
model = helo.build("helo", data, seed=0)
def stop(m, row):
    if row["epoch"] == 2:
        raise KeyboardInterrupt
folder = sys.argv[1]
try:
    helo.fit(model, data, split, epochs=4, progress=False, checkpoint=folder + "/c", on_epoch=stop)
except KeyboardInterrupt:
    pass
again = helo.build("helo", data, seed=0)
helo.fit(again, data, split, epochs=4, progress=False, checkpoint=folder + "/c")
assert next(again.parameters()).is_cuda
assert torch.equal(torch.cuda.get_rng_state(), state), "the global random state is left alone"
on_gpu = helo.predict(again, data, split.test)
helo.save(again, folder + "/m")
on_cpu = helo.predict(helo.load_model(folder + "/m"), data, split.test)
np.testing.assert_allclose(on_gpu.distributions, on_cpu.distributions, atol=1e-4)
np.testing.assert_allclose(on_gpu.plans, on_cpu.plans, atol=1e-4)
cost = torch.rand(4, 6, 5, device="cuda", requires_grad=True)
plan(cost, 0.1).pow(2).sum().backward()
c = cost.detach().cpu().requires_grad_()
plan(c, 0.1).pow(2).sum().backward()
torch.testing.assert_close(cost.grad.cpu(), c.grad, atol=1e-5, rtol=1e-3)
table = helo.evaluate(["mean", "ridge", "mixture", "helo"], data, folds=3, epochs=2, progress=False)
assert np.isfinite(table.kl).all()
splits, training = helo.splits.by_subject(data, 3), {"epochs": 2, "progress": False}
alone = [helo.fit(helo.build("helo", data, seed=k), data, s, seed=k, **training) for k, s in enumerate(splits)]
together = fit_together([helo.build("helo", data, seed=k) for k in range(3)], data, splits, seeds=range(3), **training)
for one, other in zip(alone, together):
    a, b = (helo.predict(run.model, data).distributions for run in (one, other))
    np.testing.assert_allclose(a, b, atol=1e-4)
print(torch.cuda.get_device_name())
"""


def test_everything_runs_on_a_gpu(tmp_path):
    if shutil.which("nvidia-smi") is None:
        pytest.skip("no GPU here (no nvidia-smi)")
    environment = dict(os.environ)
    del environment["CUDA_VISIBLE_DEVICES"]
    if environment["HELO_TEST_GPUS"] != "all":
        environment["CUDA_VISIBLE_DEVICES"] = environment["HELO_TEST_GPUS"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, tmp_path], env=environment, capture_output=True, text=True
    )
    if done.returncode == 77:
        pytest.skip("no GPU that PyTorch can use here")
    assert done.returncode == 0, done.stderr[-3000:]
