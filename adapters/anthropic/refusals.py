"""What a canonical request can ask and this format has no place for: refused by name, unless the route drops it."""

from __future__ import annotations

from adapters.refusals import Unsupported

# Parameter, in the words of OpenAI's format -> whether the request asks for it. A value that asks for what the provider does
# anyway (n = 1, a penalty of 0, logprobs = false, store = false) is honoured without a word.
REFUSED: Unsupported = (
    ("n", lambda r: r.HasField("n") and r.n != 1),
    ("seed", lambda r: r.HasField("seed")),
    ("frequency_penalty", lambda r: r.frequency_penalty != 0),
    ("presence_penalty", lambda r: r.presence_penalty != 0),
    ("logit_bias", lambda r: r.HasField("logit_bias_json")),
    ("logprobs", lambda r: r.logprobs),
    ("top_logprobs", lambda r: r.top_logprobs != 0),
    ("modalities", lambda r: any(word != "text" for word in r.modalities)),
    ("audio", lambda r: r.HasField("audio")),
    ("prediction", lambda r: r.HasField("prediction_json")),
    ("store", lambda r: r.store),
    ("verbosity", lambda r: r.HasField("verbosity")),
    ("prompt_cache_key", lambda r: r.HasField("prompt_cache_key")),
    ("stream_options.include_obfuscation", lambda r: r.stream_options.include_obfuscation),
    ("stream_options.extra_json", lambda r: r.stream_options.extra_json != ""),
)
