"""Kinds of pictures: which are read, and which are known by their extension and are not."""

from collections.abc import Mapping
from types import MappingProxyType

from PIL import features

AVIF = "avif" in features.get_supported_modules()
"""Whether this Pillow reads AVIF: from version 11.3 on, as it was built."""

# Named one by one: Pillow knows further kinds, some of which start other programs.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF", "JPEG2000", *(["AVIF"] if AVIF else []))
EXTENSIONS = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"}
    | {".pgm", ".ppm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"}
    | ({".avif"} if AVIF else set())
)
_UNREAD = {
    "AVIF, by this build of Pillow,": "" if AVIF else ".avif",
    "HEIC": ".heic .heif .hif",
    "JPEG XL": ".jxl",
    "JPEG XR": ".jxr .wdp .hdp",
    "a raw photograph": ".raw .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f .3fr .iiq",
    "a drawing": ".svg .svgz .eps .ai .emf .wmf",
    "a document": ".pdf .psd .psb .xcf",
    "a picture of high dynamic range": ".exr .hdr",
    "a medical image": ".dcm .dicom .nii",
    "a microscope's file": ".czi .nd2 .lif .oib .oif .vsi .lsm",
    "a picture of this kind": ".tga .pcx .ico .icns .dds .sgi .fits .fit .qoi .wbmp .xpm .xbm",
}
UNREAD_EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        extension: f"{kind} is not read; convert it to PNG or JPEG"
        for kind, extensions in _UNREAD.items()
        for extension in extensions.split()
    }
)
"""Extensions of pictures that are not read, in lower case, each with the reason as a sentence."""
