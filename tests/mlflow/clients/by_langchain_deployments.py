"""LangChain's classes for MLflow's deployments server (dialect B) against one address. Prints one JSON object.

python by_langchain_deployments.py ADDRESS
"""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("ignore")
from langchain_community.chat_models import ChatMlflow  # noqa: E402
from langchain_community.embeddings import MlflowEmbeddings  # noqa: E402
from langchain_community.llms import Mlflow  # noqa: E402
from langchain_core.messages import HumanMessage, SystemMessage  # noqa: E402

address = sys.argv[1]
llm = Mlflow(target_uri=address, endpoint="completions", temperature=0.25, max_tokens=9)
chat = ChatMlflow(target_uri=address, endpoint="chat", temperature=0.5)
vectors = MlflowEmbeddings(target_uri=address, endpoint="embeddings")
answer = chat.invoke([SystemMessage(content="Be brief."), HumanMessage(content="Say hello.")])
print(
    json.dumps(
        {
            "llm": llm.invoke("Once"),
            "chat": [answer.type, answer.content],
            "documents": vectors.embed_documents(["cats", "dogs"]),
            "query": vectors.embed_query("cats"),
        }
    )
)
