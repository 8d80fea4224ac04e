"""Where a graph runs, and how files are named in its state."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """root: the checkout; state: folder of the state files; data: folder of the environment's data.

    In the state a file is named by its place below the data or the checkout. So both can be moved, together or
    not, and what was up to date still is.
    """

    root: Path
    state: Path
    data: Path
    candidate: str = ""  # while a promotion builds: the address of its candidate,
    live: str = ""  # and of the live store, for which it builds

    def meant(self, text: str) -> str:
        """A text as an argument in the state: what was built in a candidate was built for the live store."""
        text = self.live if self.candidate and text == self.candidate else text
        return self.key(text) if text.startswith("/") else text

    def key(self, path: str | Path) -> str:
        """The name of a file in the state."""
        text = str(path)
        if not text.startswith("/"):
            text = str(Path(path).absolute())
        for name, folder in (("<data>", f"{self.data}/"), ("<root>", f"{self.root}/")):
            if text.startswith(folder):
                return f"{name}/{text.removeprefix(folder)}"
        return text

    def path(self, key: str) -> Path:
        """The file of a name in the state."""
        for name, folder in (("<data>", self.data), ("<root>", self.root)):
            if key.startswith(f"{name}/"):
                return folder / key.removeprefix(f"{name}/")
        return Path(key)

    def shown(self, path: str | Path) -> str:
        """The name of a file for people: below the checkout without the checkout's own place."""
        text = str(Path(path).absolute())
        return text.removeprefix(f"{self.root}/")
