"""`unavailable`: the one error of a key service, with its cause and without the cause's frames."""

from __future__ import annotations

from portalsec.errors import KeyServiceUnavailable

__all__ = ["unavailable"]


def unavailable(message: str, cause: BaseException | None = None) -> KeyServiceUnavailable:
    """The error, to be raised by a frame that no longer holds a plaintext.

    A crash report sends the locals of every frame. Those of a client library hold what was sent: the keyset in the
    clear, the token. So the cause and all that led to it keep their texts and lose their frames.
    """
    error = KeyServiceUnavailable(message)
    error.__cause__ = cause
    waiting, seen = [cause], set()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            waiting += [each.__cause__, each.__context__]
    return error
