"""An MLflow pyfunc model that asks the gateway: saved, loaded and called. `pip install mlflow-skinny pandas httpx`.

    python model.py [ROUTE]

The model holds the route's name. Address, key and CA are in the environment of whoever serves it.
"""

import os
import ssl
import sys
import tempfile

import httpx
import mlflow.pyfunc


class Greeter(mlflow.pyfunc.PythonModel):
    """One question a row, one answer a row."""

    def __init__(self, route: str) -> None:
        self.route = route

    def predict(self, context, model_input: list[str], params=None) -> list[str]:
        trust = ssl.create_default_context(cafile=os.environ["SIDECAR_CA"])
        with httpx.Client(base_url=os.environ["SIDECAR_URL"], verify=trust, timeout=60) as http:
            return [self.ask(http, question) for question in model_input]

    def ask(self, http: httpx.Client, question: str) -> str:
        answer = http.post(
            "/v1/chat/completions",
            headers={"authorization": f"Bearer {os.environ['SIDECAR_API_KEY']}"},
            json={"model": self.route, "messages": [{"role": "user", "content": question}]},
        )
        answer.raise_for_status()
        return answer.json()["choices"][0]["message"]["content"]


if __name__ == "__main__":
    route = sys.argv[1] if len(sys.argv) > 1 else "chat"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "greeter")
        mlflow.pyfunc.save_model(path, python_model=Greeter(route), pip_requirements=["httpx"])
        loaded = mlflow.pyfunc.load_model(path)
        print(loaded.predict(["Say hello."])[0])
