"""Real images that come inside installed packages: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from scorefield.data.formats import dicom, nifti
from scorefield.data.image import Image
from scorefield.data.images import Images
from scorefield.errors import InputError

# CC0 or public domain by scikit-image's docstrings; those without a stated license are left out
PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "microaneurysms.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
_HEAD_SLICE = 16  # through the lateral ventricles, between the air of the sinuses and the vertex


def ct_slice() -> Image:
    """A real CT slice of thoracic spine and aorta in HU, 128 x 128, 0.66 mm: CT_small.dcm of pydicom.

    Raises:
        InputError: this installation of pydicom carries no test files.
    """
    from pydicom.data import get_testdata_file

    return dicom.read(_present(get_testdata_file("CT_small.dcm", download=False), "CT_small.dcm", "pydicom"))


def mr_slice() -> Image:
    """A real axial slice of a head, 96 x 128, 2 mm, upright: the first volume of nibabel's example4d.nii.gz.

    Raises:
        InputError: this installation of nibabel carries no test files.
    """
    import nibabel

    file = Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"
    volume = nifti.read(_present(file, file.name, "nibabel"), volume=0)
    return volume.slice(_HEAD_SLICE, axis=2).upright()


def skimage_images() -> Images:
    """The CC0 photographs and micrographs of scikit-image, gray, values 0-255.

    Raises:
        InputError: this installation of scikit-image carries none of them.
    """
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    files = [folder / name for name in PHOTOGRAPHS if (folder / name).is_file()]
    return Images([_present(file, "pictures", "scikit-image") for file in files or [folder / PHOTOGRAPHS[0]]])


def _present(file: Path | object, name: str, package: str) -> Path:
    path = Path(str(file))
    if not path.is_file():
        raise InputError(f"This installation of {package} lacks {name}; install the wheel from PyPI again.")
    return path
