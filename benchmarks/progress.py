"""How far a long command is: a bar on a terminal, and a line a part elsewhere; both on stderr."""

import sys


class Progress:
    def __init__(self, total: int, unit: str = "run") -> None:
        self.bar = None
        if sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                print("For a progress bar: pip install tqdm, or gopy[bench].", file=sys.stderr)
            else:
                self.bar = tqdm(total=total, unit=unit, leave=False, dynamic_ncols=True)

    def begin(self, name: str) -> None:
        if self.bar is not None:
            self.bar.set_description(name)
        else:
            print(f"{name} ...", file=sys.stderr, flush=True)

    def advance(self) -> None:
        if self.bar is not None:
            self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
