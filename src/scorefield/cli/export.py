"""``scorefield export``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from scorefield.cli.options import Options, make_command
from scorefield.cli.say import say
from scorefield.errors import InputError


class ExportOptions(Options):
    run: Path = Field(description="Folder that 'scorefield reconstruct' wrote.", json_schema_extra={"argument": True})
    dicom: Path | None = Field(None, description="Folder of new DICOM series: mean, std and interval bounds.")
    nifti: Path | None = Field(None, description="NIfTI file of the mean; std and bounds go beside it.")
    cfl: Path | None = Field(None, description="BART file of the mean, without suffix; std and bounds go beside it.")
    source: Path | None = Field(None, description="DICOM: a file that the scan was made of; the series refers to it.")
    keep_identifiers: bool = Field(False, description="DICOM: copy patient and study of the source.")
    overwrite: bool = Field(False, description="Replace an earlier export.")


def run(options: ExportOptions) -> None:
    """Write mean, std and interval bounds of a run for other programs: DICOM, NIfTI or BART's cfl."""
    _check(options)
    from scorefield.exports import Maps, Origin, write_cfl, write_dicom, write_nifti
    from scorefield.exports.files import check_dicom

    maps = Maps.load(options.run)
    if options.dicom is not None:
        check_dicom(options.dicom, overwrite=options.overwrite)
        ready = maps.for_dicom()
        origin = Origin.unknown(ready)
        if options.source is not None:
            origin = Origin.of(options.source, ready, keep_identifiers=options.keep_identifiers)
        notes = write_dicom(maps, options.dicom, origin=origin, overwrite=options.overwrite)
        say("\n".join((f"Wrote {options.dicom}: research, not for diagnosis.", *notes)))
    if options.nifti is not None:
        say(f"Wrote {', '.join(map(str, write_nifti(maps, options.nifti, overwrite=options.overwrite)))}.")
    if options.cfl is not None:
        say(f"Wrote {', '.join(map(str, write_cfl(maps, options.cfl, overwrite=options.overwrite)))}.")


def _check(options: ExportOptions) -> None:
    if options.dicom is None and options.nifti is None and options.cfl is None:
        raise InputError("Nothing is to be written; give --dicom FOLDER, --nifti FILE or --cfl NAME.")
    if options.dicom is None and (options.source is not None or options.keep_identifiers):
        raise InputError("The options 'source' and 'keep_identifiers' are for DICOM; give --dicom FOLDER too.")
    if options.keep_identifiers and options.source is None:
        raise InputError("A run keeps no identifiers; give --source FILE, the DICOM file from which to copy them.")


command = make_command(ExportOptions, run)
