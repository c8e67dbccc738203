"""The model of `bench_serving.py` behind LitServe: python litserve_peer.py MODEL_DIR PORT ROWS WAIT"""

import sys
import tempfile
from pathlib import Path

import litserve

from affectkit.inference import Work, load_model, manifest_of_files


class Predicting(litserve.LitAPI):
    def __init__(self, model, **batching):
        super().__init__(**batching)
        self.folder = Path(model)

    def setup(self, device):
        self.model = load_model(self.folder)

    def decode_request(self, request):
        return request["files"].file.read()

    def batch(self, inputs):
        return inputs

    def predict(self, contents):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{place}.wav") for place in range(len(contents))]
            for path, content in zip(paths, contents, strict=True):
                path.write_bytes(content)
            return self.model.predict(manifest_of_files(paths, {"audio"}), Work(device="cpu")).probabilities()

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    model, port, rows, wait = sys.argv[1:]
    api = Predicting(model, max_batch_size=int(rows), batch_timeout=float(wait))
    server = litserve.LitServer(api, accelerator="cpu", timeout=120)
    server.run(host="127.0.0.1", port=int(port), num_api_servers=1, generate_client_file=False)
