"""exp, tanh and sigmoid of vectors, within 2 units in the last place (tested over the whole range).

exp: x = n ln 2 + r with n integral and |r| <= ln(2) / 2; exp(x) = 2**n exp(r), exp(r) by its power
series. r is kept in two parts, because n ln 2 has more digits than a number holds. tanh and sigmoid
are quotients of exp(2|x|) - 1 and exp(-|x|), neither of which can overflow.
"""

from fastrnn.jit import part
from fastrnn.simd import (
    absolute,
    copysign,
    fma,
    if_negative,
    is_single,
    like,
    maximum,
    minimum,
    power_of_two,
)

__all__ = ["exp", "sigmoid", "tanh"]


@part
def _reduce(x):
    """Return n (shifted, for `power_of_two`), r and r's low part: x = n ln 2 + r + low."""
    if is_single(x):
        shift = 12582912.0  # 1.5 * 2**23: a sum with it has no place for a fraction
        high, low = 0.693145751953125, 1.42860682030941723212e-6  # ln 2; n * high is exact
    else:
        shift = 6755399441055744.0  # 1.5 * 2**52
        high, low = 6.93147180369123816490e-01, 1.90821492927058770002e-10
    shifted = fma(x, like(x, 1.4426950408889634), like(x, shift))
    n = shifted - shift
    rest = fma(n, like(x, -high), x)
    r = fma(n, like(x, -low), rest)
    return shifted, r, fma(n, like(x, -low), rest - r)


@part
def _expm1_near_zero(r, low):
    """Return exp(r + low) - 1 for |r| <= ln(2) / 2: r + r^2/2! + r^3/3! + ..."""
    if is_single(r):
        q = fma(like(r, 1 / 5040), r, like(r, 1 / 720))
        q = fma(q, r, like(r, 1 / 120))
    else:
        q = fma(like(r, 1 / 6227020800), r, like(r, 1 / 479001600))
        q = fma(q, r, like(r, 1 / 39916800))
        q = fma(q, r, like(r, 1 / 3628800))
        q = fma(q, r, like(r, 1 / 362880))
        q = fma(q, r, like(r, 1 / 40320))
        q = fma(q, r, like(r, 1 / 5040))
        q = fma(q, r, like(r, 1 / 720))
        q = fma(q, r, like(r, 1 / 120))
    q = fma(q, r, like(r, 1 / 24))
    q = fma(q, r, like(r, 1 / 6))
    q = fma(q, r, like(r, 0.5))
    p = fma(q * r, r, r)
    return p + fma(low, p, low)


@part
def exp(x):
    """Return exp(x) for every lane; inf above the largest number, 0 or subnormal far below."""
    top, bottom = (89.0, -104.0) if is_single(x) else (710.0, -746.0)
    clipped = maximum(minimum(x, like(x, top)), like(x, bottom))
    # exp(x) = exp(x/2)**2 would double the error; 2**n is split instead, as 2**(n/2) twice.
    shifted, r, low = _reduce(clipped)
    half, _, _ = _reduce(clipped * 0.5)
    shift = 12582912.0 if is_single(x) else 6755399441055744.0
    rest = (shifted - shift) - (half - shift)
    y = _expm1_near_zero(r, low) + 1.0
    return y * power_of_two(half) * power_of_two(rest + shift)


@part
def tanh(x):
    """Return tanh(x) for every lane: (e - 1) / (e + 1) with e = exp(2|x|), and the sign of x."""
    one_from_here = 9.02 if is_single(x) else 19.07
    y = minimum(absolute(x), like(x, one_from_here)) * 2.0
    shifted, r, low = _reduce(y)
    scale = power_of_two(shifted)
    expm1 = fma(scale, _expm1_near_zero(r, low), scale - 1.0)
    sum_ = expm1 + 2.0
    quotient = expm1 / sum_
    inverse = (1.0 - quotient) * 0.5
    # Of a sum above 4 the quotient, near 1, feels nothing; and there the difference is not exact.
    lost = if_negative(expm1 - 2.0, expm1 - (sum_ - 2.0), like(x, 0.0))
    return copysign(_corrected(quotient, expm1, sum_, lost, inverse), x)


@part
def _corrected(quotient, dividend, divisor, lost, inverse):
    """Return dividend / (divisor + lost) from the rounded quotient and about 1 / divisor.

    `lost` is what rounding took from the divisor; one Newton step makes up for it.
    """
    rest = fma(quotient, like(quotient, 0.0) - divisor, dividend) - quotient * lost
    return fma(rest, inverse, quotient)


@part
def sigmoid(x):
    """Return 1 / (1 + exp(-x)) for every lane, as e / (1 + e) with e = exp(x) where x < 0."""
    one = like(x, 1.0)
    e = exp(like(x, 0.0) - absolute(x))
    dividend = if_negative(x, e, one)
    sum_ = e + 1.0
    quotient = dividend / sum_
    inverse = if_negative(x, 1.0 - quotient, quotient)
    return _corrected(quotient, dividend, sum_, e - (sum_ - 1.0), inverse)
