"""A QR code as SVG, drawn in process: a seed must not travel to anyone's drawing service."""

from __future__ import annotations

import io

from portalsec.errors import MissingExtra
from portalsec.secret import Secret

try:
    import segno
except ImportError as _error:
    raise MissingExtra("qr", package="segno") from _error

__all__ = ["qr_svg"]


def qr_svg(text: str | Secret[str], *, title: str = "QR code") -> str:
    """An ``<svg>`` element to put into a page: no script, no style attribute, no external reference.

    Args:
        text: what the code says; for enrolment, the ``otpauth`` URI.
        title: what a screen reader says.
    """
    value = text.reveal() if isinstance(text, Secret) else text
    drawn = io.BytesIO()
    segno.make(value, error="m", micro=False).save(
        drawn,
        kind="svg",
        scale=4,
        border=4,  # the quiet zone that ISO/IEC 18004 asks for
        light="#fff",  # drawn, so that it can be scanned on a dark page too
        xmldecl=False,
        svgns=False,
        title=title,
        omitsize=False,
        nl=False,
    )
    return drawn.getvalue().decode("utf-8")
