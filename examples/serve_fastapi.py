"""An exported pipeline behind FastAPI, by `serve_onnx.py`: `pip install fastapi uvicorn`.

    JAXAD_EXPORTED=exported uvicorn serve_fastapi:app --port 8000
    curl --data-binary @photograph.png http://127.0.0.1:8000/score

http://127.0.0.1:8000/docs describes it.
"""

import io
import os

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from serve_onnx import Pipeline

LARGEST = 50_000_000

app = FastAPI(title="Anomaly detection")
pipeline = Pipeline(os.environ.get("JAXAD_EXPORTED", "exported"))


class Judgement(BaseModel):
    score: float
    bad: bool
    at: tuple[int, int]


@app.get("/health")
def health() -> dict[str, str]:
    return {"pipeline": pipeline.facts["sha256"]}


@app.post("/score")
async def score(request: Request) -> Judgement:
    """Judge the photograph that is the body of the request."""
    photograph = bytearray()
    async for part in request.stream():
        photograph += part
        if len(photograph) > LARGEST:
            raise HTTPException(413, f"one photograph of at most {LARGEST} bytes is wanted")
    try:
        # In a thread, so that others are answered meanwhile.
        return Judgement(**await run_in_threadpool(pipeline.score, io.BytesIO(photograph)))
    except (OSError, ValueError) as problem:
        raise HTTPException(400, str(problem)) from problem
