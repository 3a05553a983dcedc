"""exp, tanh and sigmoid of vectors, within 2 units in the last place (tested over the whole range).

exp: x = n ln 2 + r with n integral and |r| <= ln(2) / 2; exp(x) = 2**n exp(r), exp(r) by its power
series. r is kept in two parts, because n ln 2 has more digits than a number holds. sigmoid is a
quotient of exp(-|x|), which cannot overflow.
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

__all__ = ["exp", "exp_below_zero", "sigmoid", "tanh"]


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
def exp_below_zero(x):
    """Return exp(x) for x <= 0, in lanes with NaN NaN, to a few units of the last place.

    Where it would be a subnormal number, and at -inf, it is 0.
    """
    lowest = -87.0 if is_single(x) else -708.0
    e = _plain_exp(maximum(x, like(x, lowest)))
    return if_negative(x - lowest, like(x, 0.0), e)


@part
def tanh(x):
    """Return tanh(x) for every lane, as t / (t + 2) with t = exp(2|x|) - 1.

    Near zero, where t + 2 is rounded to fewer digits than the result has, by a polynomial.
    """
    size = absolute(x)
    one_from_here = 9.02 if is_single(x) else 19.07
    t = _plain_expm1(minimum(size, like(x, one_from_here)) * 2.0)
    z = x * x
    near = fma(size * z, _tanh_near_zero(z), size)
    return copysign(if_negative(size - 0.27, near, t / (t + 2.0)), x)


@part
def _tanh_near_zero(z):
    """Return (tanh(x) / x - 1) / z for z = x * x <= 0.073.

    This and the next polynomials make the least largest error that their degree allows (Remez).
    Their terms are added in pairs, for a processor waits for a chain of them.
    """
    if is_single(z):
        q = fma(like(z, -5.1020972296483746e-2), z, like(z, 1.3321025353026835e-1))
        return fma(q, z, like(z, -3.3333186261984609e-1))
    z2 = z * z
    q0 = fma(like(z, 1.3333333332790068e-1), z, like(z, -3.3333333333331782e-1))
    q1 = fma(like(z, 2.1869452278972752e-2), z, like(z, -5.3968253324154492e-2))
    q2 = fma(like(z, 3.5738953168237455e-3), z, like(z, -8.8621413567102385e-3))
    q2 = fma(like(z, -1.2965231758045172e-3), z2, q2)
    return fma(fma(q2, z2, q1), z2, q0)


@part
def _plain_expm1(x):
    """Return exp(x) - 1 for 0 <= x < 40, to about a unit.

    x = n ln 2 + r: it is 2**n (exp(r) - 1) + (2**n - 1).
    """
    shift = 12582912.0 if is_single(x) else 6755399441055744.0  # as in `_reduce`
    shifted = fma(x, like(x, 1.4426950408889634), like(x, shift))
    r = fma(shifted - shift, like(x, -0.6931471805599453), x)
    r2 = r * r
    if is_single(x):
        q0 = fma(like(r, 1.6666543463435423e-1), r, like(r, 4.9999998131699421e-1))
        q1 = fma(like(r, 8.366545976235607e-3), r, like(r, 4.1667204446500978e-2))
        q1 = fma(like(r, 1.3882340208479658e-3), r2, q1)
        q = fma(q1, r2, q0)
    else:
        r4 = r2 * r2
        q0 = fma(like(r, 1.6666666666666589e-1), r, like(r, 5.0000000000000052e-1))
        q1 = fma(like(r, 8.3333333333899384e-3), r, like(r, 4.1666666666576482e-2))
        q2 = fma(like(r, 1.9841269718361725e-4), r, like(r, 1.388888893166752e-3))
        q3 = fma(like(r, 2.7557407943164306e-6), r, like(r, 2.4801505139897622e-5))
        q4 = fma(like(r, 2.5053706349156358e-8), r, like(r, 2.7626094320510353e-7))
        q = fma(fma(q4, r4, fma(q3, r2, q2)), r4, fma(q1, r2, q0))
    scale = power_of_two(shifted)
    return fma(scale, fma(q, r2, r), scale - 1.0)


@part
def _plain_exp(x):
    """Return exp(x), which is no subnormal number nor above exp(40), to a few units."""
    shift = 12582912.0 if is_single(x) else 6755399441055744.0  # as in `_reduce`
    shifted = fma(x, like(x, 1.4426950408889634), like(x, shift))
    r = fma(shifted - shift, like(x, -0.6931471805599453), x)
    if is_single(x):
        q = fma(like(r, 1.3814595601773956e-3), r, like(r, 8.3687168526618266e-3))
        q = fma(q, r, like(r, 4.1668388095537185e-2))
        q = fma(q, r, like(r, 1.6666520632112819e-1))
        q = fma(q, r, like(r, 4.9999993447641618e-1))
    else:
        q = fma(like(r, 2.5000058349050822e-8), r, like(r, 2.7630248308724915e-7))
        q = fma(q, r, like(r, 2.7557586382581071e-6))
        q = fma(q, r, like(r, 2.4801493099144013e-5))
        q = fma(q, r, like(r, 1.9841269506571106e-4))
        q = fma(q, r, like(r, 1.3888888943629842e-3))
        q = fma(q, r, like(r, 8.3333333334944639e-3))
        q = fma(q, r, like(r, 4.1666666666530160e-2))
        q = fma(q, r, like(r, 1.6666666666666413e-1))
        q = fma(q, r, like(r, 5.0000000000000106e-1))
    scale = power_of_two(shifted)
    return fma(scale, fma(q * r, r, r), scale)


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
