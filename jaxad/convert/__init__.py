"""Weights from Keras and PyTorch files, read without TensorFlow or PyTorch and laid out for `flax.linen`.

`read_layers` turns a file into a list of layers in forward order, `to_variables` puts those layers into the variables
of any model, guided by a table of rows (see `Row`), and `to_detector` does both for a recipe. Nothing is dropped in
silence.
"""

from jaxad.convert.layer import Kind, Layer
from jaxad.convert.recipes import rows, to_detector
from jaxad.convert.source import read_layers
from jaxad.convert.variables import Row, to_variables

__all__ = ["Kind", "Layer", "Row", "read_layers", "rows", "to_detector", "to_variables"]
