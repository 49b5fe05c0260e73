"""Text of exceptions that third-party code raises."""


def error_line(error: BaseException, limit: int = 160) -> str:
    """Return the type and the message of an exception in one line, the message cut at `limit` characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= limit else text[: limit - 3] + '...'}"
