"""Sums over pairs from which every statistic of the paper follows.

The sums are additive, so they can be collected batch by batch, merged across workers, and weighted when videos are
resampled. They are taken about an *origin*, the first vector seen, which keeps them exact to float64 whatever the mean
of a unit is, and exactly zero for a unit that never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError

FACTORS = ("dynamic", "static")
"""The factor that the two members of a pair share; the position is the number used in arrays of factors."""

READING_ORDER = FACTORS[::-1]
"""The same in the order in which tables and pictures name them to a reader; a position in it numbers nothing."""

FloatArray = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 128
"""Rows cast to float64 together: bounds the memory that streaming needs beside its input."""


@dataclass(frozen=True)
class Crossed:
    """Sums over the quadruples of crossed clips of one layer: what `sdbench.statistics.variance` takes.

    All are sums of products of differences of values, so that they need no origin and simply add up.

    Attributes:
        quads: number of quadruples.
        parts: (3, C) sums of the products behind appearance, motion and both.
        square: (C,) sum of all squared values over 4: what rounding error is held against.
        swaps: number of quadruples whose partners were exchanged with those of another scene.
        swapped: (2, C) sums of the same products of appearance and motion there.
    """

    quads: int
    parts: FloatArray
    square: FloatArray
    swaps: int
    swapped: FloatArray


def crossed(values: FloatArray) -> Crossed:
    """Sums over quadruples of values (4, N, C), in the order (A, M), (A', M), (A, M'), (A', M')."""
    first, second, third, fourth = values.astype(np.float64, copy=False)
    other_motion, other_look = (first - third, second - fourth), (first - second, third - fourth)
    both = other_look[0] - other_look[1]
    parts = np.stack(
        [
            np.einsum("nc,nc->c", *other_look) / 2,
            np.einsum("nc,nc->c", *other_motion) / 2,
            np.einsum("nc,nc->c", both, both) / 4,
        ]
    )
    square = np.square(values, dtype=np.float64).sum(axis=(0, 1)) / 4
    return Crossed(first.shape[0], parts, square, 0, np.zeros((2, parts.shape[1])))


def swapped(values: FloatArray, others: FloatArray) -> Crossed:
    """The same products where each has one difference of a scene and one of another: pairs then share nothing.

    Args:
        values: (4, N, C) of one scene.
        others: of another.
    """
    mine, theirs = (given.astype(np.float64, copy=False) for given in (values, others))
    found = np.stack(
        [
            np.einsum("nc,nc->c", mine[0] - mine[1], theirs[2] - theirs[3]) / 2,
            np.einsum("nc,nc->c", mine[0] - mine[2], theirs[1] - theirs[3]) / 2,
        ]
    )
    units = found.shape[1]
    return Crossed(0, np.zeros((3, units)), np.zeros(units), mine.shape[1], found)


def merge_crossed(parts: Sequence[Crossed]) -> Crossed:
    """The sums over all quadruples of at least one part, as if they had been collected together."""
    first, *rest = parts
    values = [first.parts.copy(), first.square.copy(), first.swapped.copy()]
    for part in rest:
        for sums, more in zip(values, (part.parts, part.square, part.swapped), strict=True):
            np.add(sums, more, out=sums)
    return Crossed(
        sum(part.quads for part in parts), values[0], values[1], sum(part.swaps for part in parts), values[2]
    )


@dataclass(frozen=True)
class Moments:
    """Sums over the pairs of one layer. Axis 0 of every array is the factor (`FACTORS`), axis 1 the C units.

    Attributes:
        pairs: (2,) number of pairs.
        origin: (2, C) what the sums are taken about.
        total: (2, C) sum over pairs of (first - origin) + (second - origin).
        square: (2, C) sum over pairs of (first - origin)**2 + (second - origin)**2.
        product: (2, C) sum over pairs of (first - origin) * (second - origin).
        crossed: the sums of the parts of variance, where the clips are crossed; None elsewhere.
    """

    pairs: npt.NDArray[np.int64]
    origin: FloatArray
    total: FloatArray
    square: FloatArray
    product: FloatArray
    crossed: Crossed | None = None

    @property
    def units(self) -> int:
        """Number of units C."""
        return int(self.origin.shape[1])

    def of_units(self, which: slice) -> Moments:
        """The sums of some of the units: the opposite of `beside`."""
        origin, total, square, product = (
            values[:, which] for values in (self.origin, self.total, self.square, self.product)
        )
        return Moments(self.pairs, origin, total, square, product)


def moments(first: npt.ArrayLike, second: npt.ArrayLike, factor: npt.ArrayLike | Sequence[str]) -> Moments:
    """Sum over N pairs of unit vectors.

    Args:
        first: (N, C) unit vectors of the first members of the pairs.
        second: (N, C) unit vectors of the second members.
        factor: (N,) what each pair shares: "dynamic" / "static", or 0 / 1.

    Raises:
        InputError: the shapes do not fit, a value is NaN or infinite, or a factor is unknown.
    """
    first, second, codes = _checked(first, second, factor)
    units = first.shape[1]
    pairs = np.zeros(2, dtype=np.int64)
    origin, total, square, product = (np.zeros((2, units)) for _ in range(4))
    for code in range(2):
        rows = np.flatnonzero(codes == code)
        pairs[code] = len(rows)
        if len(rows):
            origin[code] = first[rows[0]]
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            chunk = rows[start : start + _ROWS_AT_ONCE]
            x = first[chunk].astype(np.float64)
            y = second[chunk].astype(np.float64)
            x -= origin[code]
            y -= origin[code]
            total[code] += x.sum(axis=0) + y.sum(axis=0)
            square[code] += np.einsum("nc,nc->c", x, x) + np.einsum("nc,nc->c", y, y)
            product[code] += np.einsum("nc,nc->c", x, y)
    return Moments(pairs, origin, total, square, product)


@dataclass(frozen=True)
class Stack:
    """Sums of G groups of pairs, all about one origin: the arrays are those of `Moments` with the groups in front.

    Attributes:
        pairs: (G, 2) number of pairs.
        origin: (2, C) what the sums are taken about.
        total, square, product: (G, 2, C).
    """

    pairs: npt.NDArray[np.int64]
    origin: FloatArray
    total: FloatArray
    square: FloatArray
    product: FloatArray

    def merged(self) -> Moments:
        """The sums of all groups; the same, to the last bit, as `merge` gives."""
        sums = (values.sum(axis=0) for values in (self.total, self.square, self.product))
        return Moments(self.pairs.sum(axis=0), self.origin, *sums)


def about(part: Moments, origin: FloatArray) -> Moments:
    """The same sums taken about another `origin` (2, C), in arrays of their own."""
    move = part.origin - origin
    if not move.any():
        return Moments(part.pairs, origin, part.total.copy(), part.square.copy(), part.product.copy())
    n = part.pairs[:, None].astype(np.float64)
    squared = move**2
    total = 2 * n * move
    total += part.total
    square = 2 * move
    square *= part.total
    square += part.square
    square += 2 * n * squared
    product = move * part.total
    product += part.product
    squared *= n
    product += squared
    return Moments(part.pairs, origin, total, square, product)


def common_origin(parts: Sequence[Moments]) -> FloatArray:
    """(2, C): for each factor the origin of the first part that has pairs of it."""
    origin = np.array(parts[0].origin)
    for code in range(2):
        for part in parts:
            if part.pairs[code]:
                origin[code] = part.origin[code]
                break
    return origin


def merge(parts: Iterable[Moments]) -> Moments:
    """The sums over all pairs of `parts`, as if they had been collected together.

    Raises:
        InputError: there is no part, or the parts have different numbers of units.
    """
    given = list(parts)
    if not given:
        raise InputError("nothing to merge: expected the moments of at least one batch")
    _check_units(given)
    if len(given) == 1:
        return given[0]
    origin = common_origin(given)
    merged = about(given[0], origin)
    pairs = np.array(merged.pairs)
    for part in given[1:]:
        moved = about(part, origin)
        pairs += moved.pairs
        for sums, more in zip(_sums(merged), _sums(moved), strict=True):
            np.add(sums, more, out=sums)  # `about` made these arrays: nobody else holds them
    found = [part.crossed for part in given if part.crossed is not None]
    return Moments(pairs, origin, *_sums(merged), merge_crossed(found) if len(found) == len(given) else None)


def stack(groups: Sequence[Moments]) -> Stack:
    """The sums of each of at least one group, about one origin.

    Raises:
        InputError: the groups have different numbers of units.
    """
    _check_units(groups)
    origin = common_origin(groups)
    stacked = [np.empty((len(groups), *origin.shape)) for _ in range(3)]
    for number, group in enumerate(groups):
        for values, sums in zip(stacked, _sums(about(group, origin)), strict=True):
            values[number] = sums
    return Stack(np.stack([group.pairs for group in groups]), origin, *stacked)


def _sums(part: Moments) -> tuple[FloatArray, FloatArray, FloatArray]:
    return part.total, part.square, part.product


def _check_units(parts: Sequence[Moments]) -> None:
    sizes = sorted({part.units for part in parts})
    if len(sizes) > 1:
        raise InputError(f"moments of layers with different numbers of units cannot be merged: {sizes}")


def beside(parts: Sequence[Moments]) -> Moments:
    """The sums of layers that were shown the same pairs, as if their units were those of one layer.

    Those of crossed clips are left out: the parts of variance are taken network by network.

    Raises:
        InputError: there is no part, or the parts have different numbers of pairs.
    """
    if not parts or any((part.pairs != parts[0].pairs).any() for part in parts):
        raise InputError("layers can be put side by side only if all were shown the same pairs")
    names = ("origin", "total", "square", "product")
    arrays = [np.concatenate([getattr(part, name) for part in parts], axis=1) for name in names]
    return Moments(parts[0].pairs, arrays[0], arrays[1], arrays[2], arrays[3])


def _checked(
    first: npt.ArrayLike, second: npt.ArrayLike, factor: npt.ArrayLike | Sequence[str]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.int64]]:
    a, b = _array("first", first), _array("second", second)
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] == 0:
        raise InputError(
            f"first and second must both have shape (pairs, units), one row a pair; got {a.shape} and {b.shape}"
        )
    codes = factor_codes(factor)
    if codes.shape != (len(a),):
        raise InputError(f"factor must name one factor a pair, shape ({len(a)},); got {codes.shape}")
    for name, values in (("first", a), ("second", b)):
        if not np.issubdtype(values.dtype, np.number) or np.issubdtype(values.dtype, np.complexfloating):
            raise InputError(f"{name} must hold real numbers; got {values.dtype}")
        for start in range(0, len(values), _ROWS_AT_ONCE):
            finite = np.isfinite(values[start : start + _ROWS_AT_ONCE])
            if not finite.all():
                row, unit = np.argwhere(~finite)[0]
                value = values[start + row, unit]
                raise InputError(
                    f"{name} has {value} in row {start + row}, unit {unit}; every unit value must be finite"
                )
    return a, b, codes


def _array(name: str, values: Any) -> npt.NDArray[Any]:
    """An array, of a tensor of torch too, whatever it requires.

    Raises:
        InputError: it is none.
    """
    try:
        return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be an array; got {type(values).__name__} ({error})") from None


def factor_codes(factor: npt.ArrayLike | Sequence[str]) -> npt.NDArray[np.int64]:
    """Factors as numbers: "dynamic" or 0 -> 0, "static" or 1 -> 1.

    Raises:
        InputError: something else is among them.
    """
    given = _array("factor", factor)
    if given.dtype.kind in "US":
        names = given.astype(str)
        bad = sorted(set(names.ravel()) - set(FACTORS))
        if bad:
            raise InputError(f"a factor must be one of {', '.join(FACTORS)} (or 0, 1); got {bad[0]!r}")
        return np.asarray(names == FACTORS[1], dtype=np.int64)
    if given.dtype.kind not in "iubf" or not ((given == 0) | (given == 1)).all():
        raise InputError(
            f"a factor must be one of {', '.join(FACTORS)} (or 0, 1); got {given.dtype} {given.ravel()[:5]}"
        )
    return given.astype(np.int64)
