"""The files of an export: all of one kind, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from scorefield.data import Image, write
from scorefield.errors import InputError
from scorefield.exports import parametric
from scorefield.exports.maps import Maps
from scorefield.exports.origin import Origin
from scorefield.exports.series import mean_series
from scorefield.store.atomic import atomic_files, atomic_folder, check_replaceable, check_writable

ENTRIES = ("mean", "std.dcm", "lower.dcm", "upper.dcm")
NIFTI = (".nii.gz", ".nii")


def write_dicom(maps: Maps, folder: Path, *, origin: Origin | None = None, overwrite: bool = False) -> tuple[str, ...]:
    """Write ``mean/0001.dcm`` and so on, and beside it ``std.dcm``, ``lower.dcm`` and ``upper.dcm``.

    Args:
        maps: of the run, in their own units.
        folder: to be made.
        origin: patient, study and source; unknown by default.
        overwrite: replace an earlier export.

    Returns:
        Sentences on what could not be written.

    Raises:
        InputError: the folder exists or cannot be written, or the run has no form in DICOM.
    """
    check_dicom(folder, overwrite=overwrite)
    maps = maps.for_dicom()
    origin = Origin.unknown(maps) if origin is None else origin
    series = mean_series(maps, origin)
    others = maps.others if parametric.is_possible() else ()
    with atomic_folder(folder, obsolete=ENTRIES) as temporary:
        (temporary / "mean").mkdir()
        for number, dataset in enumerate(series, 1):
            dataset.save_as(temporary / "mean" / f"{number:04d}.dcm", enforce_file_format=True)
        for other in others:
            dataset = parametric.parametric_map(other, series, maps, origin)
            dataset.save_as(temporary / f"{other.name}.dcm", enforce_file_format=True)
    return () if others else (parametric.ABSENT,)


def write_nifti(maps: Maps, path: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write the mean to ``path`` and the others beside it, as ``NAME_std.nii.gz``, in the run's unit and geometry.

    Raises:
        InputError: another suffix, or a file that exists or cannot be written.
    """
    return _write(_nifti_images(maps, path), overwrite)


def write_cfl(maps: Maps, base: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write the mean, complex where the run is, to ``BASE.cfl`` with its ``.hdr``, and ``BASE_std.cfl`` and so on.

    Raises:
        InputError: a file exists or cannot be written.
    """
    return _write(_cfl_images(maps, base), overwrite)


def check_dicom(folder: Path, *, overwrite: bool = False) -> None:
    """Check that a series can be written to ``folder``.

    Raises:
        InputError: it cannot.
    """
    check_replaceable(folder, ENTRIES)
    place = folder.expanduser()
    if not overwrite and place.is_dir() and any(place.iterdir()):
        raise InputError(f"{folder} holds an export; add --overwrite to replace it, or choose another folder.")


def _nifti_images(maps: Maps, path: Path) -> dict[Path, Image]:
    suffix = next((end for end in NIFTI if path.name.lower().endswith(end)), None)
    if suffix is None:
        raise InputError(f"{path} is no name of a NIfTI file; let it end in .nii.gz or .nii.")
    stem, end = path.name[: -len(suffix)], path.name[-len(suffix) :]
    return {path: maps.mean.image} | {path.with_name(f"{stem}_{m.name}{end}"): m.image for m in maps.others}


def _cfl_images(maps: Maps, base: Path) -> dict[Path, Image]:
    name = base.name.removesuffix(".cfl")
    others = {base.with_name(f"{name}_{m.name}.cfl"): m.image for m in maps.others}
    return {base.with_name(f"{name}.cfl"): maps.complex_mean} | others


def _write(images: Mapping[Path, Image], overwrite: bool) -> tuple[Path, ...]:
    for path in images:
        check_writable(path)
        beside = path.expanduser().with_suffix(".hdr") if path.suffix == ".cfl" else path.expanduser()
        if not overwrite and (path.expanduser().exists() or beside.exists()):
            raise InputError(f"{path} exists; add --overwrite to replace it, or choose another name.")
    place = Path(os.path.realpath(next(iter(images)).expanduser())).parent
    with atomic_files(place) as folder:
        for path, image in images.items():
            write(image, folder / path.name)
    return tuple(images)
