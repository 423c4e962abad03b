"""From the body of a request to an envelope: unpacked, by the fast path where it can be, else by the full parser."""

from __future__ import annotations

import re
from functools import lru_cache

from tr069.acs.cpe.profile_finder import ProfileFinder
from tr069.acs.cpe.session import CwmpSession
from tr069.cwmp import messages as m
from tr069.cwmp.decode import decode
from tr069.cwmp.fast_path import InformFastPath
from tr069.cwmp.faults import AcsFault
from tr069.cwmp.xml import decompress
from tr069.errors import UnsafeXmlError

_CHARSET = re.compile(r'charset\s*=\s*"?([A-Za-z0-9._-]{1,40})"?', re.IGNORECASE)
# Bytes of a body, as it is and packed, above which it is read aside.
_ASIDE, _ASIDE_PACKED = 64 * 1024, 1024


@lru_cache(256)
def charset_of(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return found.group(1) if found else ''


def is_big(body: bytes, encoding: str) -> bool:
    """Whether reading it would hold up the others: it is then done in a thread."""
    return len(body) > (_ASIDE_PACKED if encoding else _ASIDE)


class BodyReader:
    """All raise `CwmpDecodeError`. `session` is the connection's, which tells the sender's profile."""

    def __init__(self, profiles: ProfileFinder, max_body: int) -> None:
        self._profiles = profiles
        self._max_body = max_body
        self._fast_path = InformFastPath()

    def unpack(self, body: bytes, encoding: str) -> bytes:
        if encoding in ('', 'identity'):
            return body
        if encoding not in ('gzip', 'x-gzip', 'deflate'):
            raise UnsafeXmlError(f'the content encoding {encoding[:40]!r} is not known here')
        return decompress(body, encoding.removeprefix('x-'), self._max_body) if body else body

    def read(self, body: bytes, charset: str, session: CwmpSession | None) -> m.Envelope:
        begins = session is None or session.closed
        envelope = self._fast_path.read(body, charset) if begins else None
        if envelope is not None:
            return envelope
        envelope = self.read_whole(body, charset, session)
        if begins:
            self._fast_path.add_shape(body, charset, envelope)
        return envelope

    def read_whole(self, body: bytes, charset: str, session: CwmpSession | None) -> m.Envelope:
        """By the full parser. Changes nothing, so that it can be done in a thread."""
        try:
            return decode(body, charset)
        except UnsafeXmlError as error:
            # The recovering parser is for the models whose profile says so, and they show who they are in the Inform.
            if not self._profiles.can_recover or error.fault_code != AcsFault.INVALID_ARGUMENTS or b'<!DOCTYPE' in body:
                raise
            envelope = decode(body, charset, recover=True)
            profile = session.profile if session is not None else None
            if isinstance(envelope.message, m.Inform):
                profile, _ = self._profiles.find(envelope.message, envelope.message.device.key)
            if profile is None or not profile.quirks.recover_xml:
                raise
            return envelope
