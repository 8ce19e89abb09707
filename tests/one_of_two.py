"""Run by test_sharding.py twice at the same time: the processes train one pipeline.

    python -m tests.one_of_two INDEX PORT ROOT OUT WHEN

The losses that it saw go to OUT/INDEX.json. The second process kills itself WHEN two epochs are trained ("epoch";
anything else is never).
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import jax

from jaxad.folders import fit_folder
from jaxad.methods import RECIPES
from jaxad.sharding import make_mesh
from tests import fast_compilation, garbage, kept_context, one_platform

RECIPE = replace(RECIPES["dense-ae"], encoder=(4, 2), decoder=(4,), epochs=4, batch_size=4)


def main():
    index, port, root, out = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    dies_in = sys.argv[5] if index else None
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=index)
    losses = []
    garbage.collect_seldom()
    kept_context.keep()
    one_platform.trace_one()

    def on_epoch(done, terms):
        losses.append(terms["loss"])
        if dies_in == "epoch" and done >= 2:
            os.kill(os.getpid(), signal.SIGKILL)

    part = out / "part.jaxad"
    kept = {"checkpoints": out / "kept", "resume": True}
    with fast_compilation.used():
        fit_folder(root, part, recipe=RECIPE, mesh=make_mesh(), on_epoch=on_epoch, **kept)
    jax.distributed.shutdown()
    (out / f"{index}.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main()
