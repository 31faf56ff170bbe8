"""Priors: closed forms, learned networks, patches, and their algebra.

This list is the registry: the law suites test every prior named here, and checkpoints are built from it.
"""

from scorefield.priors.algebra import AsComplex, IndependentParts
from scorefield.priors.conditional import Conditional
from scorefield.priors.energy import Energy
from scorefield.priors.frozen import Frozen
from scorefield.priors.gamma import Gamma
from scorefield.priors.gaussian import DiagonalGaussian, Gaussian
from scorefield.priors.kde import Kde
from scorefield.priors.mixture import GaussianMixture
from scorefield.priors.multiscale import Given, MultiScale
from scorefield.priors.network import EDM, Homogeneous, Network, Unitless
from scorefield.priors.normal import ConditionedGaussian
from scorefield.priors.pairs import Pairs, Tabulated
from scorefield.priors.patches import FieldOfExperts
from scorefield.priors.scaled import Scaled
from scorefield.priors.stationary import StationaryGaussian
from scorefield.priors.supported import Supported
from scorefield.priors.tiling import Tiling
from scorefield.priors.timesteps import ContinuousBetas, CosineBetas, LinearBetas, SqrtLinearBetas
from scorefield.priors.tv import GeneralizedGaussian, TotalVariation
from scorefield.priors.vp import VP, ImagePrediction, NoisePrediction, VelocityPrediction

__all__ = [
    # closed forms
    "Gaussian",
    "DiagonalGaussian",
    "StationaryGaussian",
    "ConditionedGaussian",
    "GaussianMixture",
    "Kde",
    "Gamma",
    "TotalVariation",
    "GeneralizedGaussian",
    "Pairs",
    "Tabulated",
    # learned
    "Network",
    "Energy",
    "EDM",
    "Homogeneous",
    "Unitless",
    "FieldOfExperts",
    "Conditional",
    "Tiling",
    "MultiScale",
    "Given",
    # learned elsewhere, and the clocks they were trained with
    "VP",
    "NoisePrediction",
    "ImagePrediction",
    "VelocityPrediction",
    "LinearBetas",
    "SqrtLinearBetas",
    "CosineBetas",
    "ContinuousBetas",
    # algebra
    "Scaled",
    "AsComplex",
    "IndependentParts",
    "Frozen",
    "Supported",
]
