"""Run by test_sharding.py twice at the same time: the processes train one part and score one folder, each its share.

    python -m tests.one_of_two INDEX PORT ROOT OUT WHEN

The losses that it saw go to OUT/INDEX.json. The second process kills itself WHEN two epochs are trained or two images
scored ("epoch" or "image"; anything else is never).
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import jax

from jaxad import load_pipeline
from jaxad.folders import fit_folder, score_folder
from jaxad.sharding import make_mesh
from tests.photograph_folder import QUICK


def main():
    index, port, root, out = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    dies_in = sys.argv[5] if index else None
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=index)
    jax.config.update("jax_disable_most_optimizations", True)
    losses = []

    def die(here, done):
        if here == dies_in and done >= 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch(done, terms):
        losses.append(terms["loss"])
        die("epoch", done)

    part = out / "part.jaxad"
    kept = {"checkpoints": out / "kept", "resume": True}
    fit_folder(root, part, recipe=replace(QUICK, epochs=4), mesh=make_mesh(), on_epoch=on_epoch, **kept)
    # From here on nobody waits for the other.
    jax.distributed.shutdown()
    (out / f"{index}.json").write_text(json.dumps(losses))
    score_folder(
        load_pipeline(part),
        root,
        out / f"share-{index}",
        share=(index + 1, 2),
        on_image=lambda done, *_: die("image", done),
    )


if __name__ == "__main__":
    main()
