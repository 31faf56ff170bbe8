"""scorefield: score-based generative priors for medical image reconstruction, with calibrated uncertainty.

``__init__.pyi`` lists the public names with their types.  Each is imported when it is first used, so that the command
line answers before torch is loaded.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]  # pyright: ignore[reportUnsupportedDunderAll]
