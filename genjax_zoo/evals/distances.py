"""Distances as the differences of float64 give them, at the price of a matrix product wherever that is as good.

|x|^2 + |y|^2 - 2 x.y loses the digits that x and y have in common: of near ones, far from the others, all. Where it is
right to a part in 10^10 it decides nearly every comparison; what it leaves open is computed by differences, alike from
x to y and from y to x, so that ties are ties.
"""

from collections.abc import Iterator

import numpy as np

AT_ONCE = 2**22  # numbers of a pairwise matrix in memory at a time, whatever the number of examples
RIGHT = 1e-10  # relative error of a square
OPEN = 1e-9  # squares that are alike to this part are compared by differences,
TIE = 1e-13  # and are equal to this: the order of a sum changes no more


def squared_distances(x: np.ndarray, y: np.ndarray, at_once: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances [rows, m] of some x [n, F] to all y [m, F] at a time, and which x they are of.

    Each is right to a part in 10^10 of itself, wherever x and y lie: a copy is at 0.
    """
    centre = np.median(y, axis=0)  # one outlier does not move it
    far = y.astype(np.float64) - centre
    norms = np.einsum("ij,ij->i", far, far)
    lost = (x.shape[1] + 5) * np.finfo(np.float64).eps / RIGHT  # the share of |x|^2 + |y|^2 below which too much is
    rows = max(1, at_once // len(y))
    for start in range(0, len(x), rows):
        here = slice(start, min(start + rows, len(x)))
        near = x[here].astype(np.float64) - centre
        sums = np.einsum("ij,ij->i", near, near)[:, None] + norms
        squares = near @ far.T
        squares *= -2
        squares += sums
        sums *= lost
        yield here, _settled(squares, ~(squares >= sums), x[here], y)


def is_closer(squares: np.ndarray, than: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where the squared distances [n, m] of x to y are below others, of their shape or broadcast to it."""
    unsure = squares < (1 + OPEN) * than
    unsure &= squares > (1 - OPEN) * than
    return _settled(squares, unsure, x, y) < (1 - TIE) * than


def radii(x: np.ndarray, k: int, at_once: int) -> np.ndarray:
    """The squared distance of each example's k-th nearest other, [n]."""
    found = np.empty(len(x))
    for here, squares in squared_distances(x, x, at_once):
        squares[np.arange(len(squares)), np.arange(len(x))[here]] = np.inf
        about = np.partition(squares, k - 1, axis=1)[:, k - 1, None]
        below = squares < (1 - OPEN) * about
        unsure = ~below & (squares <= (1 + OPEN) * about)
        nearer = np.count_nonzero(below, axis=1)
        for row, place in enumerate(range(here.start, here.stop)):
            alike = _exact(x[place], x[unsure[row]])
            found[place] = np.partition(alike, k - 1 - nearer[row])[k - 1 - nearer[row]]
    return found


def nearest(x: np.ndarray, y: np.ndarray, at_once: int) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each x to the nearest y, and its place, the first of ties; [n]."""
    least, index = np.empty(len(x)), np.empty(len(x), np.int64)
    for here, squares in squared_distances(x, y, at_once):
        unsure = squares <= (1 + OPEN) * squares.min(axis=1, keepdims=True)
        for row, place in enumerate(range(here.start, here.stop)):
            alike = np.flatnonzero(unsure[row])
            exact = _exact(x[place], y[alike])
            least[place], index[place] = exact.min(), alike[np.argmin(exact)]
    return np.sqrt(least), index


def _settled(squares: np.ndarray, unsure: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Writes over the squared distances [n, m] that are unsure."""
    for row in np.flatnonzero(unsure.any(axis=1)):
        squares[row, unsure[row]] = _exact(x[row], y[unsure[row]])
    return squares


def _exact(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The squared distances of one [F] to others [m, F], each summed in the order of F: [m]."""
    from scipy.spatial.distance import cdist  # slow to import

    return cdist(one[None].astype(np.float64), others.astype(np.float64), "sqeuclidean")[0]
