"""Sampling kernels: each takes images from one noise level to the next."""

from scorefield.kernel import Info, Kernel, Repeat, State, Then
from scorefield.kernels.acceptance import ByDensity, ByDensityOrPath, ByPath
from scorefield.kernels.alternate import Alternate
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.annealed_hmc import AnnealedHMC
from scorefield.kernels.ascent import Ascent
from scorefield.kernels.churn import Churn
from scorefield.kernels.corrector import Corrector
from scorefield.kernels.daps import DAPS
from scorefield.kernels.decaying_chain import DecayingChain
from scorefield.kernels.descent import Descent
from scorefield.kernels.dpm import DPMpp2M
from scorefield.kernels.dpm_solver import DPMSolver2
from scorefield.kernels.dpmpp_single import DPMpp2S
from scorefield.kernels.evidence import Imputed, Marginal
from scorefield.kernels.final import FinalDenoise, FinalDraw
from scorefield.kernels.fixed_large import FixedLarge
from scorefield.kernels.heun import Heun
from scorefield.kernels.hmc import HMC
from scorefield.kernels.hold import Hold
from scorefield.kernels.langevin import Langevin
from scorefield.kernels.likelihood import LikelihoodStep, MarkovChain, PerturbAndMap
from scorefield.kernels.literal_ddrm import LiteralDDRM
from scorefield.kernels.literal_dps import LiteralDPS
from scorefield.kernels.literal_padis import LiteralPaDIS
from scorefield.kernels.literal_pigdm import LiteralPiGDM
from scorefield.kernels.mala import MALA
from scorefield.kernels.mcg_diff import MCGDiff
from scorefield.kernels.particles import Particles
from scorefield.kernels.preconditioned_langevin import PreconditionedLangevin
from scorefield.kernels.prior_noise import PriorNoise
from scorefield.kernels.project import Project
from scorefield.kernels.red_diff import RedDiff
from scorefield.kernels.renoise import Renoise
from scorefield.kernels.repaint import RePaint
from scorefield.kernels.resampled_gibbs import ResampledGibbs
from scorefield.kernels.reverse_diffusion import ReverseDiffusion
from scorefield.kernels.split_gibbs import SplitGibbs
from scorefield.kernels.steps import Absolute, Anchored, Relative
from scorefield.kernels.update import GaussNewton, GradientStep, Laplace

__all__ = [
    # along the levels
    "Ancestral",
    "FixedLarge",
    "ReverseDiffusion",
    "DPMpp2M",
    "DPMpp2S",
    "DPMSolver2",
    "Heun",
    "Churn",
    "PriorNoise",
    "Renoise",
    "FinalDenoise",
    "FinalDraw",
    # at a level
    "Ascent",
    "Corrector",
    "HMC",
    "Langevin",
    "MALA",
    "AnnealedHMC",
    # the size of their steps
    "Absolute",
    "Anchored",
    "Relative",
    # the rule of acceptance of Metropolis kernels
    "ByDensity",
    "ByDensityOrPath",
    "ByPath",
    # with the measurement, under the unconditional prior
    "DAPS",
    "LiteralDDRM",
    "LiteralDPS",
    "LiteralPaDIS",
    "LiteralPiGDM",
    "MCGDiff",
    "Particles",
    "PreconditionedLangevin",
    "Project",
    "RePaint",
    "RedDiff",
    "ResampledGibbs",
    "SplitGibbs",
    # the parts of those
    "DecayingChain",
    "Descent",
    "LikelihoodStep",
    "MarkovChain",
    "PerturbAndMap",
    # with parameters of the operator
    "Alternate",
    "GradientStep",
    "GaussNewton",
    "Laplace",
    "Imputed",
    "Marginal",
    # combined
    "Hold",
    "Repeat",
    "Then",
    # the interface
    "Info",
    "Kernel",
    "State",
]
