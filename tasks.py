"""What `invoke` runs: every module below task/ under its name, and `all.*` made from them. `invoke -l` lists it."""

from pathlib import Path

import config
from impl.closing import recorded, summary_of
from impl.run.namespace import discover

namespace = discover(
    Path(__file__).parent / "task",
    root=config.ROOT,
    settings=config.SETTINGS,
    environment=config.environment,
    variables=config.variables,
    closing=summary_of,
    recorded=recorded,
)
