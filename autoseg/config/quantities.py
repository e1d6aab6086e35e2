"""Large numbers as a user writes them: 250M, 1.5G."""

import re

from autoseg.errors import UsageError

_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_QUANTITY = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,9}))?([kMGT]?)", re.ASCII)


def number_of(quantity: str, *, name: str) -> int:
    """Read a number of something.

    Args:
        quantity: Digits, with k, M, G or T (thousands, millions and so on) behind them, or nothing.
        name: The setting, for the message.

    Raises:
        UsageError: If it is no such number, no whole one, or 0.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is not None:
        decimals = match[2] or ""
        number, rest = divmod(int(match[1] + decimals) * _FACTORS[match[3]], 10 ** len(decimals))
        if number > 0 and rest == 0:
            return number
    raise UsageError(
        f"{name} = {quantity[:40]!r}: it must be a whole number above 0, such as 250M or 1.5G "
        "(k, M, G, T: thousands, millions, ...)."
    )


def short_number(number: int) -> str:
    """Write a number rounded up to four digits, as `number_of` reads it: 1,234,567 is 1.235M."""
    step = 10 ** max(0, len(str(number)) - 4)
    rounded = -(-number // step) * step
    suffix = max((s for s in _FACTORS if _FACTORS[s] <= rounded), key=_FACTORS.__getitem__)
    return f"{rounded / _FACTORS[suffix]:g}{suffix}"
