"""What type checkers see of the public names: a user's script of which exactly the marked lines are wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import scorefield

SCRIPT = """
import torch
from typing_extensions import assert_type

import scorefield as sf

prior = sf.priors.GaussianMixture(torch.ones(2) / 2, torch.zeros(2, 3), torch.ones(2))
operator = sf.operators.Matrix(torch.eye(3))
measurement = sf.Measurement(torch.zeros(3), operator, sf.noise.White(0.1))
posterior = sf.posteriors.MMPS(prior, measurement, iterations=3)
assert_type(operator @ operator, sf.Operator)
assert_type(prior.denoise(torch.zeros(1, 3), 0.5), torch.Tensor)

samples = sf.sample(posterior, sf.kernels.Heun(), sf.schedules.Karras(0.01, 10.0).grid(20), n=4, seed=0)
assert_type(samples, sf.Samples)
assert_type(samples.mean, torch.Tensor)
low, high = samples.interval(0.9)
samples = sf.reconstruct(prior, measurement, n=4, method=sf.Method(steps=16))
trained = sf.train(sf.load("prior"), [torch.zeros(1, 8, 8)])
sf.evaluate(samples, torch.zeros(3))
sf.trust.assess(samples, measurement, prior)
path = sf.shipped.find("abdomen-ct")


class Mine(sf.Denoiser):
    def denoise(self, x: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
        return x / (1 + sigma)


sf.reconstruct(Mine(), measurement)

sf.recontruct(prior, measurement)  # wrong: a slip in the name
sf.priors.Gausian(torch.zeros(3))  # wrong: a slip in the name of a class
sf.kernels.Heun(rate=0.1)  # wrong: no such argument
sf.noise.White("0.1")  # wrong: a word for a number
sf.Measurement(torch.zeros(3), sf.noise.White(0.1), operator)  # wrong: arguments in the wrong order
sf.sample(measurement, sf.kernels.Heun(), [1.0, 0.1])  # wrong: a measurement is no prior
sf.reconstruct(prior, measurement, n="4")  # wrong: a word for a number
sf.reconstruct(prior, measurement, draws=4)  # wrong: no such argument
sf.train("prior", [torch.zeros(1, 8, 8)])  # wrong: a path is no prior
samples.median()  # wrong: no such method
sf.Method(steps=None)  # wrong: nothing for a number
operator @ 2.0  # wrong: products are with operators
"""


def test_a_type_checker_finds_the_wrong_lines_and_no_other(tmp_path: Path):
    (tmp_path / "user.py").write_text(SCRIPT)
    source = str(Path(scorefield.__file__).parents[1])
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"include": ["user.py"], "extraPaths": [source]}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    errors = [found for found in json.loads(run.stdout)["generalDiagnostics"] if found["severity"] == "error"]
    lines = SCRIPT.splitlines()
    assert {lines[found["range"]["start"]["line"]] for found in errors} == {
        line for line in lines if "# wrong:" in line
    }
