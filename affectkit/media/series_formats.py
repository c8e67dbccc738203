"""What programs that write time series call their columns, in which order, and how often a second they write a row."""

FORMATS = ("openface", "clnf", "openpose", "mediapipe", "covarep", "formant", "csv", "npy", "emopain")
ENDINGS = (".csv", ".tsv", ".txt", ".npy", ".mat")

COVAREP = (
    "F0", "VUV", "NAQ", "QOQ", "H1H2", "PSP", "MDQ", "peakSlope", "Rd", "Rd_conf", "creak",
    *(f"MCEP_{n}" for n in range(25)), *(f"HMPDM_{n}" for n in range(25)), *(f"HMPDD_{n}" for n in range(13)),
)  # fmt: skip
FORMANT = tuple(f"formant_{n}" for n in range(1, 6))
RATES = {"covarep": 100.0, "formant": 100.0, "emopain": 60.0}
# Coordinates of 22 joints in metres, and four muscles; what follows them are the exercise and the labels of the
# challenge, which are no features. The second form holds 13 joint angles and their energies.
JOINTS = 22
EMOPAIN = {
    78: (*(f"{axis}_{n}" for axis in "xyz" for n in range(JOINTS)), *(f"emg_{n}" for n in range(4))),
    36: (*(f"angle_{n}" for n in range(13)), *(f"energy_{n}" for n in range(13)), *(f"emg_{n}" for n in range(4))),
}

# Names of columns of times, in small letters -> seconds in one of their units.
TIMES = {
    **dict.fromkeys(("timestamp", "time", "time_sec", "time_s", "timestamp_sec", "timestamp_s", "seconds", "t"), 1.0),
    **dict.fromkeys(("time_ms", "timestamp_ms", "milliseconds"), 1e-3),
    **dict.fromkeys(("time_us", "timestamp_us"), 1e-6),
}
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
FRAMES = ("frame", "frame_number", "frame_id", "frame_idx", "frame_index")
ABOUT = ("success", "confidence", "face_id", "person_id", "hand_id")
# Below these a face that was tracked, or a landmark, is none; OpenPose's confidences run lower than the others'.
LEAST_CONFIDENCE = {"openpose": 0.1}
CONFIDENCE = 0.5


def axes_of(points: int, numbers: int) -> tuple[str, ...]:
    """What the numbers of a point are: of OpenPose's and COCO's bodies the third is a confidence.

    >>> axes_of(25, 3), axes_of(33, 4), axes_of(68, 2)
    (('x', 'y', 'c'), ('x', 'y', 'z', 'visibility'), ('x', 'y'))
    """
    if numbers == 3 and points in (17, 18, 25):
        return "x", "y", "c"
    return {2: ("x", "y"), 3: ("x", "y", "z"), 4: ("x", "y", "z", "visibility")}.get(numbers, ())
