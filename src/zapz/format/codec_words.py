"""The codecs of an array in a few words."""

from __future__ import annotations

from zapz.format.metadata import Array


def codec_words(array: Array) -> str:
    """Return the codecs of an array in a few words; "raw" if there are none."""
    chain = array.unit_codecs
    if chain.foreign is not None:
        return "foreign"
    words = [s.id + (f"/{s.config['cname']}" if s.id == "blosc" and "cname" in s.config else "") for s in chain.stages]
    head = [f"{chain.endian}-endian"] if chain.endian == "big" else []
    return " ".join([*(["transposed"] if chain.order else []), *head, *words]) or "raw"
