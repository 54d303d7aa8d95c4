"""LangChain's classes for MLflow's gateway against one address. Prints one JSON object.

python langchain.py ADDRESS
"""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("ignore")
from langchain_community.chat_models import ChatMLflowAIGateway  # noqa: E402
from langchain_community.embeddings import MlflowAIGatewayEmbeddings  # noqa: E402
from langchain_community.llms import MlflowAIGateway  # noqa: E402
from langchain_core.messages import HumanMessage, SystemMessage  # noqa: E402

address = sys.argv[1]
llm = MlflowAIGateway(gateway_uri=address, route="completions", params={"temperature": 0.25, "max_tokens": 9})
chat = ChatMLflowAIGateway(gateway_uri=address, route="chat", params={"temperature": 0.5})
vectors = MlflowAIGatewayEmbeddings(gateway_uri=address, route="embeddings")
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
