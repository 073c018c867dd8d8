"""Answers with a file, of which parts can be asked for; knows nothing of what is in it."""

import re

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
_DATED = (hdrs.IF_MODIFIED_SINCE, hdrs.IF_UNMODIFIED_SINCE, hdrs.IF_RANGE)
_OTHERS = (hdrs.RANGE, hdrs.IF_MATCH, hdrs.IF_NONE_MATCH)


class FileAnswer(web.FileResponse):
    """A file, its ranges, and what `HEAD` and conditions ask of it; streams, so that no file is in memory as a whole.

    It sees only the headers that it answers to: a date in another form than RFC 9110, section 5.6.7, tells senders to
    write says nothing, since the parser behind it fails on some, and then nothing would be answered.
    """

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the headers, and the file."""
        given = request.headers
        seen = {name: given[name] for name in _OTHERS if name in given and given[name].isascii()}
        seen |= {name: given[name] for name in _DATED if name in given and _DATE.fullmatch(given[name])}
        return await super().prepare(request.clone(headers=seen))
