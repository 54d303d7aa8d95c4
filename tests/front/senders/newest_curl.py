"""The newest libcurl, by pycurl's wheel: `newest_curl.py CASES` sends each case and prints what it receives, as JSON.

A case is {url, ca, authorization, type, bytes, version}; what is received a status, or the text of an error.
"""

import io
import json
import sys
from typing import Any

import pycurl  # type: ignore[import-untyped]


def received(case: dict[str, Any]) -> int | str:
    curl, body = pycurl.Curl(), io.BytesIO()
    versions = {1: pycurl.CURL_HTTP_VERSION_1_1, 2: pycurl.CURL_HTTP_VERSION_2TLS}
    curl.setopt(pycurl.URL, case["url"])
    curl.setopt(pycurl.CAINFO, case["ca"])
    curl.setopt(pycurl.HTTP_VERSION, versions[case["version"]])
    curl.setopt(pycurl.HTTPHEADER, [f"Authorization: {case['authorization']}", f"Content-Type: {case['type']}"])
    curl.setopt(pycurl.POSTFIELDS, b"x" * case["bytes"])
    curl.setopt(pycurl.WRITEDATA, body)
    curl.setopt(pycurl.TIMEOUT, 60)
    try:
        curl.perform()
    except pycurl.error as error:
        return str(error)
    json.loads(body.getvalue())["error"]
    return int(curl.getinfo(pycurl.RESPONSE_CODE))


print(json.dumps([received(case) for case in json.loads(sys.argv[1])]))
