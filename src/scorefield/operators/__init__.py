"""Forward models: the map from an image to the data of a scanner, linear or not.

This list is the registry: the law suites test every operator named here.
"""

from scorefield.linalg.covariance import Isotropic, Spread
from scorefield.linalg.solve import conjugate_gradients, gmres
from scorefield.operators.basic import Identity, Mask, Matrix, RealToComplex, Sample
from scorefield.operators.checks import adjoint_error, operator_norm
from scorefield.operators.coils import Coils
from scorefield.operators.compression import Compression, compress_coils
from scorefield.operators.ct import Projector, fan_beam, parallel_beam
from scorefield.operators.ct_fbp import fbp, hann, ramlak, shepp_logan
from scorefield.operators.ct_geometry import FanBeam, Geometry, ParallelBeam
from scorefield.operators.differences import Differences
from scorefield.operators.espirit import EigenMaps, espirit
from scorefield.operators.exponential import Exponential
from scorefield.operators.fourier import Fourier
from scorefield.operators.linear import Adjoint, Multiple, Operator, Product, Sum
from scorefield.operators.mix import Mix
from scorefield.operators.mri import Isometric, birdcage, cartesian_mask, coil_maps, mri
from scorefield.operators.non_uniform import NonUniformFourier, non_cartesian_mri
from scorefield.operators.nonlinear import Nonlinear
from scorefield.operators.offset import Offset
from scorefield.operators.resample import Blur, Downsample
from scorefield.operators.sense import Sense
from scorefield.operators.sides import DataSide, ImageSide, Side
from scorefield.operators.stack import Stack
from scorefield.operators.trajectories import GOLDEN_ANGLE, radial, spiral
from scorefield.operators.whitening import Whitening

__all__ = [
    # the algebra
    "Operator",
    "Adjoint",
    "Product",
    "Sum",
    "Multiple",
    "Stack",
    "Whitening",
    # the space of a solve
    "Side",
    "DataSide",
    "ImageSide",
    "Isotropic",
    "Spread",
    # not linear
    "Nonlinear",
    "Exponential",
    "Offset",
    # elementary
    "Identity",
    "Matrix",
    "Mask",
    "Mix",
    "Sample",
    "RealToComplex",
    "Differences",
    # resolution
    "Blur",
    "Downsample",
    # magnetic resonance
    "Fourier",
    "Coils",
    "Isometric",
    "Sense",
    "mri",
    "NonUniformFourier",
    "non_cartesian_mri",
    "radial",
    "spiral",
    "GOLDEN_ANGLE",
    "birdcage",
    "cartesian_mask",
    "coil_maps",
    "espirit",
    "EigenMaps",
    "compress_coils",
    "Compression",
    # computed tomography
    "Projector",
    "Geometry",
    "ParallelBeam",
    "FanBeam",
    "parallel_beam",
    "fan_beam",
    "fbp",
    "ramlak",
    "shepp_logan",
    "hann",
    # solvers and checks
    "conjugate_gradients",
    "gmres",
    "adjoint_error",
    "operator_norm",
]
