"""An exported pipeline behind HTTP, by the standard library and `serve_onnx.py`:

    python serve_http.py exported 8000
    curl --data-binary @photograph.png http://127.0.0.1:8000/

For many users see `serve_fastapi.py`.
"""

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from serve_onnx import Pipeline

LARGEST = 50_000_000


class Handler(BaseHTTPRequestHandler):
    pipeline: Pipeline

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 < length <= LARGEST:
            return self.answer(413, {"error": f"one photograph of at most {LARGEST} bytes is wanted"})
        try:
            return self.answer(200, self.pipeline.score(io.BytesIO(self.rfile.read(length))))
        except (OSError, ValueError) as problem:
            return self.answer(400, {"error": str(problem)})

    def answer(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Handler.pipeline = Pipeline(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
