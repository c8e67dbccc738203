"""Media files: what a header says, mono samples, pixels, frames of a video, arrays.

Headers are read without decoding (own parsers for WAV, MP4, and the frames of FLAC and MP3, libsndfile and Pillow for
the rest; `read_length` decodes what only ffmpeg reads), and all pass one check of what a recording can be. Where a
header misleads libsndfile, it is handed the file with another one in front (`splice.py`). Every way in which a file can
be unusable is an `AffectkitError` that names it: missing, a folder, empty, a Git-LFS pointer, unreadable, not audio (or
not an image), truncated, without samples, too large.
"""

from affectkit.media.audio import read_audio, read_length, recording, resample, segment_error
from affectkit.media.files import check_file, mapped, open_array
from affectkit.media.headers import Header, read_header, read_headers
from affectkit.media.images import MOST_PIXELS, ImageHeader, read_image, read_image_header
from affectkit.media.video import Frame, read_frames

AnyHeader = Header | ImageHeader

__all__ = [
    "MOST_PIXELS",
    "AnyHeader",
    "Frame",
    "Header",
    "ImageHeader",
    "check_file",
    "mapped",
    "open_array",
    "read_audio",
    "read_frames",
    "read_header",
    "read_headers",
    "read_image",
    "read_image_header",
    "read_length",
    "recording",
    "resample",
    "segment_error",
]
