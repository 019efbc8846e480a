"""The 16-bit medical float of IEEE 11073-20601, in which cuffs and oximeters send their values."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SPECIAL: Final = {
    0x07FF: "not a number",
    0x0800: "not at this resolution",
    0x07FE: "positive infinity",
    0x0802: "negative infinity",
    0x0801: "reserved value",
}
_DECIMALS: Final = 10.0 ** np.arange(9)


def decode_sfloat(words: ArrayLike) -> tuple[NDArray[np.float64], list[str]]:
    """Decode 16-bit words into numbers.

    Parameters
    ----------
    words : array-like of int, shape (n,)
        Words of 4 bit exponent and 12 bit mantissa, both two's complement, base 10.

    Returns
    -------
    values : ndarray, shape (n,)
        NaN for all five special words.
    kinds : list of str
        Why a value is NaN; ``""`` for a number.

    References
    ----------
    IEEE 11073-20601, Personal health device communication: application profile, SFLOAT-Type.

    Examples
    --------
    >>> decode_sfloat([0x008A, 0xF0BD, 0x07FF])
    (array([138. ,  18.9,   nan]), ['', '', 'not a number'])
    """
    raw = np.atleast_1d(np.asarray(words, dtype=np.uint16))
    mantissa = ((raw & 0x0FFF).astype(np.int64) ^ 0x800) - 0x800
    exponent = ((raw >> 12).astype(np.int64) ^ 0x8) - 0x8
    # Division by a power of ten rounds once: 189 / 10 is 18.9, 189 * 0.1 is not.
    values = mantissa * _DECIMALS[np.maximum(exponent, 0)] / _DECIMALS[np.maximum(-exponent, 0)]
    kinds = [_SPECIAL.get(word, "") for word in raw.tolist()]
    values[np.array([bool(kind) for kind in kinds], dtype=bool)] = np.nan
    return values, kinds
