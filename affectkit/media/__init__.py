"""Media files: what a header says, mono samples, arrays.

Headers are read without decoding (an own parser for WAV and MP4, libsndfile for the rest). Every way in which a file
can be unusable is an `AffectkitError` that names it: missing, a folder, empty, a Git-LFS pointer, unreadable, not
audio, truncated, without samples.
"""

from affectkit.media.arrays import open_array
from affectkit.media.audio import read_audio, resample
from affectkit.media.files import check_file
from affectkit.media.headers import Header, check_media, read_header, read_headers
from affectkit.media.parallel import mapped

__all__ = [
    "Header",
    "check_file",
    "check_media",
    "mapped",
    "open_array",
    "read_audio",
    "read_header",
    "read_headers",
    "resample",
]
