"""The choice among recipes by normal images alone."""

from jaxad.recipes import ChoiceRecipe


class AutoRecipe(ChoiceRecipe, kind="auto"):
    """Fits cheap candidates and keeps the one that best tells held-out normal images from defects drawn on them."""
