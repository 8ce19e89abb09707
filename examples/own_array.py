"""Arrays in, scores and maps out; a threshold from good images; one file: `python own_array.py`."""

import jax

import jaxad

good = jaxad.datasets.textures("brick", "train", size=64, count=60).images  # or your own, in [0, 1]
test = jaxad.datasets.textures("brick", "test", size=64, count=40)

detector, history = jaxad.fit(jax.random.key(0), jaxad.RECIPES["patch-components"], good[:40])
limit = jaxad.thresholds.for_false_positive_rate(detector.score(good[40:]).score, rate=0.05)
scores = detector.score(test.images)
print("flagged", (scores.score > limit.value).sum(), "of", len(test), "- true rate of false alarms in", limit.interval)
print("AUROC", jaxad.metrics.auroc(test.labels, scores.score), "AUPRO", jaxad.metrics.aupro(test.masks, scores.map))

detector.save("bricks.jaxad")
assert (jaxad.load("bricks.jaxad").score(test.images).score == scores.score).all()
