"""Classifies failures by their message, if status and codes are not specific enough: one regular expression per
kind.

A 400, 403 or 429 can mean several things, a 500 may be the caller's fault, and an error inside a 200 has no status
at all. The expressions come from documented errors, recordings and public reports; they are bounded, so that
matching is linear.
"""

from __future__ import annotations

import re

from adapters.errors import Kind

_TOO_LONG = re.compile(
    r"(?:maximum|max|model'?s?) (?:context|prompt) (?:length|window)|context (?:size|window|limit)|exceed\w{0,9} (?:the )?context"
    r"|context length (?:of only|exceeded|\()|than the context length|context_length_exceeded|exceed_context_size"
    r"|(?:prompt|input)(?: is| was)? too long|too long to fit|too many (?:input )?tokens|too large for model with"
    r"|model token limit|(?:prompt|input) exceeds (?:the )?max|total length of all messages is too long"
    r"|\b(?:prompt|input)s?`?[^.]{0,60}\btokens?\b[^.]{0,60}(?:exceed|must be <|longer than|only supports)"
    r"|must have less than \d{1,9} tokens|max_new_tokens`? must be <|range of input length"
    r"|input[^.]{0,30} is too large to process|reduce the length of (?:the|your) (?:messages|prompt|input)"
    r"|longer than the maximum (?:model|sequence|context|input) length|exceeds? (?:the )?max(?:imum)? sequence length"
    r"|input length[^.]{0,30} exceeds|maximum allowed token size|total number of tokens[^.]{0,60} exceed"
    r"|(?<!max_)\btoken count exceeds",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(
    r"(?:incorrect|invalid) api[ _-]?key|api[ _-]?key (?:is )?(?:not valid|not found|expired|invalid|has expired)"
    r"|invalid (?:access|api|bearer|auth|authentication) token|token seems invalid|authentication fail"
    r"|\bAPI_KEY_(?:INVALID|SERVICE_BLOCKED|HTTP_REFERRER_BLOCKED|IP_ADDRESS_BLOCKED)\b",
    re.IGNORECASE,
)
_CONTENT = re.compile(
    r"violates? (?:\w+ ){0,3}(?:usage|content|safety) (?:guideline|polic)|\bSAFETY_CHECK_"
    r"|(?:was|were|been) flagged|requires moderation|moderation_blocked|content_policy_violation|considered high risk"
    r"|content management policy|content filtering policy|safety system|\bPROHIBITED_CONTENT\b|for safety reasons"
    r"|content exists risk|data_?inspection_?failed|inappropriate content|new_sensitive|ResponsibleAIPolicy",
    re.IGNORECASE,
)
_REGION = re.compile(
    r"unsupported_country|country, region,? or territory not supported|user location is not supported"
    r"|not available in your (?:country|region|location)|^request not allowed\b",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"credit balance is too low|insufficient[ _](?:account )?(?:balance|credit|fund|quota)|\bout of credits"
    r"|(?:does not|doesn't) have any credits|all available credits|purchase (?:more )?credits|spending limit"
    r"|billing (?:hard )?limit|billing_(?:hard_limit_reached|not_active)|API usage limits|exceeded_current_quota"
    r"|account [^.]{0,80}is suspended|\barrearage\b|please recharge",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"\bmodel_(?:decommissioned|not_found)\b|^invalid model(?: ?id)?(?= *$| ?[:'\"`]| invalid_)|is not a valid model(?: id)?\b"
    r"|\bmodel not (?:exist|found)|\bmodel `?[\w./:-]{1,80}`? (?:has been decommissioned|does not exist|was removed)",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate[ _-]limit|too many requests", re.IGNORECASE)
# A caller's fault to which servers answer 500: llama.cpp.
_CALLERS = re.compile(r"(?:image|audio|file|video) input is not supported", re.IGNORECASE)

_REFUSED = frozenset({Kind.INVALID_REQUEST, Kind.REQUEST_TOO_LARGE})
# Statuses that may be about money: 400, 403, 429.
_MAY_BE_MONEY = frozenset({Kind.INVALID_REQUEST, Kind.UPSTREAM_REJECTED_CREDENTIALS, Kind.RATE_LIMITED})


def kind_by_words(kind: Kind, words: str, status: int | None) -> Kind:
    """Returns the kind. `kind` is what status and codes say. `status` is None for an error inside a 200."""
    unknown = status is None and kind is Kind.UPSTREAM_UNAVAILABLE
    if (kind in _REFUSED or unknown or status == 500) and _TOO_LONG.search(words):
        return Kind.CONTEXT_LENGTH_EXCEEDED
    if status == 500 and _CALLERS.search(words):
        return Kind.INVALID_REQUEST
    if (kind in _MAY_BE_MONEY or unknown) and status != 401 and _QUOTA.search(words):
        return Kind.QUOTA_EXHAUSTED
    forbidden = kind is Kind.UPSTREAM_REJECTED_CREDENTIALS and status in (None, 400, 403)
    if forbidden or kind is Kind.INVALID_REQUEST or unknown:
        if _CONTENT.search(words):
            return Kind.CONTENT_FILTERED
        if _REGION.search(words):
            return Kind.INVALID_REQUEST
    if (kind is Kind.INVALID_REQUEST and status in (None, 400)) or unknown:
        for found, expression in ((Kind.UPSTREAM_REJECTED_CREDENTIALS, _BAD_KEY), (Kind.UPSTREAM_NOT_FOUND, _NO_MODEL)):
            if expression.search(words):
                return found
    return Kind.RATE_LIMITED if unknown and _RATE.search(words) else kind
