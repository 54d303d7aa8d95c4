"""`python -m sidecar.local`: fetches the embedded model in advance (for an image build, or a machine that goes
offline)."""

from __future__ import annotations

import sys

from sidecar.local.fetch import ModelError, ensure_model


def main() -> int:
    """Prints the file's path; exit code 1 and one line on stderr if it is not available."""
    try:
        print(ensure_model())
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
