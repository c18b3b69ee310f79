"""Our side of a comparison."""

import json
import os
import subprocess
from pathlib import Path


def webmamba(binary: Path, name: str, *options: str, **environment: str) -> float:
    """Median milliseconds of a run with made-up weights."""
    command = [str(binary), "bench", "--synthetic", "--arch", name, "--json", *options]
    result = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    return json.loads(result.stdout)["median_ms"]
