"""DSPy: its LM (LiteLLM underneath) and a program with a typed signature."""

from __future__ import annotations

from typing import Any

from checks import PROMPT, TEXTS, Route, rounded, run

# settings
import os

import dspy

settings = {"api_base": os.environ["SIDECAR_URL"] + "/v1", "api_key": os.environ["SIDECAR_API_KEY"]}


def model(route: str, **more: Any) -> dspy.LM:
    return dspy.LM(f"openai/{route}", **settings, **more)


def vectors(route: str) -> dspy.Embedder:
    return dspy.Embedder(f"openai/{route}", encoding_format="float", **settings)


# end


class Describe(dspy.Signature):
    """Say what the city is called and how many people live there."""

    text: str = dspy.InputField()
    city: str = dspy.OutputField()
    population: int = dspy.OutputField()


def answer(route: Route) -> Any:
    return model(route.name, max_tokens=route.tokens_max, cache=False)(PROMPT)[0]


def structured(route: Route) -> Any:
    llm = model(route.name, max_tokens=route.tokens_max, cache=False)
    with dspy.context(lm=llm, adapter=dspy.JSONAdapter()):
        got = dspy.Predict(Describe)(text="Paris")
    return {"city": got.city, "population": got.population}


def embeddings(route: Route) -> Any:
    return rounded(vectors(route.embeddings)(TEXTS))


run(answer, structured, embeddings)
