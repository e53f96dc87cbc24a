"""What converters print and what they throw, brought down to what a user wants to read."""

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back what Python and the C++ converters print; on an error it joins the exception as a note."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = {stream: os.dup(stream) for stream in (1, 2)}
        try:
            for stream in saved:
                os.dup2(log.fileno(), stream)
            yield
        except Exception as error:
            sys.stderr.flush()
            log.seek(0)
            error.add_note(log.read().decode(errors="replace"))
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in saved.items():
                os.dup2(copy, stream)
                os.close(copy)


def first_reason(error: Exception) -> str:
    """Returns the one line of a converter's page-long message that says what was wrong."""
    text = str(error)
    operations = sorted(set(re.findall(r"'?tf\.(\w+)'? op is neither a custom op nor a flex op", text)))
    if operations:
        return f"LiteRT has no built-in operation for {', '.join(operations)}."
    text = re.sub(r"\x1b\[[0-9;]*m|\{\{.*?\}\} ?", "", text)  # colours and TensorFlow's node names
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception encountered when calling")] or lines
    if lines and lines[0].startswith("in user code"):  # a traceback, whose last line says what it was
        lines = lines[-1:]
    line = lines[0] if lines else type(error).__name__
    line = line if len(line) <= 300 else line[:297] + "..."
    return line if line.endswith(".") else line + "."
