"""Text files as people have them: UTF-8 with or without a byte order mark, any line ends."""

from __future__ import annotations

import hashlib
from pathlib import Path

from applications.core.errors import UserError
from applications.datasets.readers import natural_key


def read_text(path: Path) -> str:
    """Returns the text of a file with line feeds as line ends.

    Raises:
        UserError: The file does not exist, is empty, or is no UTF-8 text.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"File {str(path)!r} does not exist (looked for {str(path.absolute())!r}).") from None
    except OSError as error:
        raise UserError(f"File {str(path)!r} cannot be read: {error.strerror}.") from None
    if b"\0" in content[:4096]:
        raise UserError(f"File {str(path)!r} is no UTF-8 text (it holds zero bytes); save it as UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"File {str(path)!r} is no UTF-8 text (byte {content[error.start]:#04x} in line {line}); save it as UTF-8."
        ) from None
    if not text.strip():
        raise UserError(f"File {str(path)!r} holds no text.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_files(folder: Path) -> list[Path]:
    """Returns the .txt files in and below a folder, in the order people expect.

    Raises:
        UserError: There is none.
    """
    found = [path for path in folder.rglob("*") if path.suffix.lower() == ".txt" and path.is_file()]
    if not found:
        raise UserError(f"Folder {str(folder)!r} holds no .txt file.")
    return sorted(found, key=lambda path: natural_key(str(path.relative_to(folder))))


def sha256(*texts: str) -> str:
    """Returns the SHA-256 of texts as hexadecimal digits; of several, in their order, a zero byte behind each."""
    if len(texts) == 1:
        return hashlib.sha256(texts[0].encode("utf-8", "surrogatepass")).hexdigest()
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
