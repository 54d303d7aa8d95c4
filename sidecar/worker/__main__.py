"""`python -m sidecar.worker --control-fd N`: one worker process, started by the supervisor."""

from sidecar.worker.process import main

main()
