"""Pieces of Markdown that all generated pages are made of."""


def table(header: list[str], rows: list[list[str]]) -> str:
    """Returns a Markdown table; bars and line breaks inside cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def bullets(items: tuple[str, ...]) -> str:
    return "\n".join(f"- {item}" for item in items)


def page(*parts: str) -> str:
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""
