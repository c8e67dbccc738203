"""Altered copies of images: found by hashes that differ in few bits, confirmed in every part of the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from affectkit.leakage.content import media_leaks
from affectkit.leakage.sides import Copies, FileSet, read_each, sides_as_numbers, unread
from affectkit.media import ImageHeader, read_image

# --- A picture in 32 x 32 greys, and 64 bits of it that survive coding, scaling and a little noise
#
# After Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010 (pHash's DCT hash): of the
# two-dimensional cosine transform the 8 x 8 lowest frequencies that vary along both axes, each a bit: above their
# median or not.


SIDE = 32  # pixels
_LOWEST = 8  # frequencies along each axis; 8 x 8 make 64 bits


def thumbnail(path: Path) -> np.ndarray:
    """[32, 32] uint8: the luminance (ITU-R BT.601), smoothed and scaled.

    A triangle filter: with plain means over cells a copy of half the size differed by 23 grey levels, so by 2.
    """
    return thumbnail_of(read_image(path))


def thumbnail_of(image: np.ndarray) -> np.ndarray:
    """As `thumbnail`, of an image [H, W, 3] uint8."""
    from PIL import Image

    grey = Image.fromarray(image).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def hashes_of(thumbnails: np.ndarray) -> np.ndarray:
    """[N, 32, 32] uint8 -> [N] uint64."""
    frequency, at = np.arange(1, _LOWEST + 1)[:, None], np.arange(SIDE)
    # [8, 32]: rows 1 to 8 of the DCT-II, which leave out the mean
    waves = np.cos(np.pi * frequency * (at + 0.5) / SIDE).astype(np.float32)
    hashes = np.empty(len(thumbnails), np.uint64)
    for start in range(0, len(thumbnails), 4096):  # 16 MB of float32 at once
        part = thumbnails[start : start + 4096].astype(np.float32)
        levels = (waves @ part @ waves.T).reshape(len(part), -1)
        bits = levels > np.median(levels, axis=1, keepdims=True)
        hashes[start : start + 4096] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return hashes


# --- Images whose hashes are near, and whether they agree cell by cell
#
# On 500 drawn faces (224, 96 and 48 pixels) and scenes (320 x 240): copies (JPEG of quality 70, half the size, both)
# differ in up to 8 bits, and by up to 6 levels in the cell that differs most. 1 % of the pairs of different faces are
# within 10 bits, and by 16 levels and more apart. Of faces an eighth as wide as the one scene that they stand in, at
# the same place, 3 in 124,750 pairs pass for copies; of those a quarter as wide none.
MOST_BITS = 10  # of 64
MOST_LEVELS = 6  # grey levels, in the cell that differs most
_CELL = 3  # pixels of the smaller image that a cell must hold at least: what one pixel shows is up to the coder
_GRIDS = (SIDE, SIDE // 2, SIDE // 4)  # cells along each axis
_FLAT = 3.0  # grey levels of standard deviation: a plain wall, and its hash, are chance
_ROWS = 512  # hashes compared with all others at once
_AT_ONCE = 1 << 14  # pairs of thumbnails compared at once (some 100 MB)
Pairs = np.ndarray  # [P, 2] int


def near_identical_images(files: FileSet, workers: int, progress: Callable[[int, int], None] | None = None) -> Copies:
    """Sets of images on different sides that are copies of each other up to coding and size.

    Holds 2.5 kB per image and one decoded image per thread. The hashes of all pairs are compared: 2 s for 10,000
    images, and 100 times that for ten times as many. Copies made without smoothing (nearest pixel) are not found, nor
    those of images with an edge below 24 pixels, or without anything in them but a gradient.
    """
    with_headers = [(file, file.header) for file in files.files if isinstance(file.header, ImageHeader)]
    images = [file for file, _ in with_headers]
    smallest = np.array([min(header.width, header.height) for _, header in with_headers], dtype=int)
    thumbnails = np.zeros((len(images), SIDE, SIDE), np.uint8)
    problems: list[str] = []
    for place, picture in enumerate(read_each(lambda file: thumbnail(file.path), images, workers, progress, problems)):
        if picture is not None:  # else its thumbnail stays plain, which is like no other
            thumbnails[place] = picture
    sets = sets_of_copies(thumbnails, smallest, sides_as_numbers(images))
    groups = [[images[place] for place in members] for members in sets]
    return Copies(media_leaks("near-identical media", groups, len(images)), unread(problems))


def sets_of_copies(thumbnails: np.ndarray, smallest: np.ndarray, sides: np.ndarray) -> list[list[int]]:
    """Positions of images that are copies of each other, or of a common one, across sides.

    thumbnails: [N, 32, 32] uint8. smallest: [N] the shorter edge of each image, in pixels. sides: [N] int.
    """
    textured = np.array([picture.std() >= _FLAT for picture in thumbnails], dtype=bool)
    usable = np.flatnonzero(textured & (smallest >= _CELL * _GRIDS[-1]))
    thumbnails = thumbnails[usable]
    grids = [_coarser(thumbnails, cells) for cells in _GRIDS]
    finest = np.searchsorted(_CELL * np.array(_GRIDS[::-1]), smallest[usable], side="right") - 1
    sets = np.arange(len(usable))
    for pairs in candidates(hashes_of(thumbnails), sides[usable]):
        for start in range(0, len(pairs), _AT_ONCE):
            some = pairs[start : start + _AT_ONCE]
            some = some[sets[some[:, 0]] != sets[some[:, 1]]]  # what is known is not looked at again
            sets = _joined(sets, some[are_copies(some, grids, finest)])
    return [usable[sets == name].tolist() for name in np.flatnonzero(np.bincount(sets) > 1)]


def candidates(hashes: np.ndarray, sides: np.ndarray) -> Iterator[Pairs]:
    """Pairs (i < j) on different sides whose hashes [N] uint64 differ in at most `MOST_BITS` bits."""
    for start in range(0, len(hashes), _ROWS):
        rows, later = slice(start, start + _ROWS), slice(start, None)
        near = np.bitwise_count(hashes[rows, None] ^ hashes[None, later]) <= MOST_BITS
        near &= sides[rows, None] != sides[None, later]
        first, second = np.nonzero(near)
        yield np.stack([first, second], axis=1)[first < second] + start


def are_copies(pairs: Pairs, grids: Sequence[np.ndarray], finest: np.ndarray) -> np.ndarray:
    """[P] bool: whether no cell differs by more than `MOST_LEVELS`, on the finest grid that both images fill.

    Each cell, as a face before the same wall, or another one in the same frame, is a small part of the picture.
    grids: [N, cells] from 32 x 32 to 8 x 8. finest: [N] the grid that each image fills, counted from the coarsest.
    """
    alike = np.ones(len(pairs), bool)
    least = finest[pairs].min(axis=1)
    for level, grid in enumerate(reversed(grids)):  # most pairs fall out at the coarsest
        (left,) = np.nonzero(alike & (least >= level))
        first, second = grid[pairs[left, 0]].astype(np.int16), grid[pairs[left, 1]]
        alike[left] = (np.abs(first - second) <= MOST_LEVELS).all(axis=1)
    return alike


def _coarser(thumbnails: np.ndarray, cells: int) -> np.ndarray:
    """[N, 32, 32] uint8 -> [N, cells * cells] uint8, the mean grey of each cell."""
    size = SIDE // cells
    means = thumbnails.reshape(-1, cells, size, cells, size).mean(axis=(2, 4), dtype=np.float32)
    return means.round().astype(np.uint8).reshape(-1, cells * cells)


def _joined(sets: np.ndarray, pairs: Pairs) -> np.ndarray:
    """[N] the set that each is in, once those of each pair are one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return sets
    edges = sets[pairs]
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(sets), len(sets)))
    return connected_components(graph, directed=False)[1][sets]
