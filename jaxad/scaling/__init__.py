"""Folders of photographs scored by many machines, which Ray tells what to do: same rows, regions and pictures.

The process that is started surveys the folder, hands out parts of it that begin where a batch would, and writes what
comes back, in the order of the photographs, as `score_folder` does by itself. In between, Ray Data keeps a pool of
workers, each with the pipeline on CPUs or GPUs of its own, which read and score the parts; photographs never travel.
A worker that dies is replaced and its part is done again; what came back twice would be written once, and what did not
come back is an error, so nothing is lost or doubled. When the first process dies, `resume` goes on.
"""

from jaxad.scaling.scoring import score_on_ray

__all__ = ["score_on_ray"]
