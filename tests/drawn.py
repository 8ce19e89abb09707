"""How many examples hypothesis draws for a test."""

from hypothesis import settings

FEW = 6
settings.register_profile("quick", max_examples=FEW, derandomize=True)


def examples(count: int) -> int:
    """`count`, or the few, always the same, of the profile "quick", in which README's command runs the suite."""
    return min(count, FEW) if settings.default.max_examples == FEW else count
