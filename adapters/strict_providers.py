"""What providers of OpenAI's format refuse, and what the strict ones accept: data for their rows (`providers`)."""

from __future__ import annotations

from adapters.echo_names import CALL, MESSAGE, PARTS, Known
from adapters.members import CACHE_MARKS

# These refuse a request because of one unknown member of a message. Groq and Cerebras accept `reasoning`, the member
# of their answers; Mistral its own parts of type thinking.
ONLY_REASONING = (MESSAGE | CALL | PARTS) - {"messages[].reasoning"}
_ONLY_PARTS = (MESSAGE | CALL | PARTS) - {"messages[].content[].thinking", "messages[].tool_calls[].index"}
# The members that they know in an assistant turn. A `function_call` is an instruction, left for them to refuse.
_IN_TURNS = frozenset({"role", "content", "name", "tool_calls", "function_call", "cache_control"})
_IN_CALLS = frozenset({"id", "type", "function"})
_IN_FUNCTIONS = frozenset({"name", "arguments"})
IN_GROQS_TURNS = Known(_IN_TURNS | {"reasoning"}, _IN_CALLS, _IN_FUNCTIONS)
IN_MISTRALS_TURNS = Known(_IN_TURNS | {"prefix"}, _IN_CALLS | {"index"}, _IN_FUNCTIONS)
# The name of a speaker: Groq and Mistral refuse it except for tools (https://console.groq.com/docs/openai; Mistral
# answers 422).
_NAMES = frozenset({"messages[].name"})
# Members without any value that Groq accepts; values without effect are left out (the same page).
GROQ_LEAVES = ONLY_REASONING | _NAMES | {"logit_bias", "logprobs", "top_logprobs"}
# Mistral refuses anything that its reference does not list ("Extra inputs are not permitted").
_OPENAIS_HINTS = frozenset(
    {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "verbosity"}
    | {"stream_options.include_obfuscation", "messages[].content[].prompt_cache_breakpoint"}
    | {"logit_bias", "store", "service_tier", "modalities"}
)
MISTRAL_LEAVES = _ONLY_PARTS | _NAMES | CACHE_MARKS | _OPENAIS_HINTS | {"logprobs", "top_logprobs"}
# So does Gemini's endpoint ('Unknown name "store": Cannot find field'); penalties are among what it does not know.
GEMINI_LEAVES = (_OPENAIS_HINTS - {"service_tier"}) | {"metadata", "frequency_penalty", "presence_penalty"}
# The members that the embedded model's server reads. It ignores all others, which are therefore refused: for example
# tools, which the model is too small to call (llama.cpp accepts them and `tool_choice`, and then answers in prose).
# https://github.com/ggml-org/llama.cpp, tools/server/README.md
LLAMA_CPP = frozenset(
    {"model", "messages", "prompt", "input", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
    | {"temperature", "top_p", "n", "seed", "stop", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs"}
    | {"top_logprobs", "response_format", "encoding_format", "top_k", "min_p", "typical_p", "repeat_penalty"}
    | {"repeat_last_n", "mirostat", "mirostat_tau", "mirostat_eta", "dynatemp_range", "dynatemp_exponent"}
    | {"xtc_probability", "xtc_threshold", "samplers", "grammar", "json_schema", "ignore_eos", "cache_prompt"}
)
LLAMA_CPP_LEAVES = (
    _OPENAIS_HINTS
    | _NAMES
    | CACHE_MARKS
    | {"metadata", "prediction", "parallel_tool_calls", "tool_choice", "reasoning_effort", "suffix", "echo", "best_of"}
) - {"logit_bias"}
