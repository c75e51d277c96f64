"""Which certificates the gateway may show: those that this system trusts, or those of the authority in
OPENCLAW_GATEWAY_CA alone."""

import ssl
from functools import cache

from django.conf import settings

UNKNOWN_AUTHORITY = {18, 19, 20, 21}  # as OpenSSL counts: alone or in a chain signed by itself, or by somebody unknown
NOT_YET, EXPIRED = 9, 10
OTHER_NAME = {62, 64}  # than the host's or its address

NOT_TLS = {"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}  # as OpenSSL calls plain HTTP

UNKNOWN = "signed by an authority that is not known here"
ASK_FOR = "an administrator has to"
TLS = f"What answers there speaks TLS; {ASK_FOR} begin OPENCLAW_GATEWAY_URL with https://."
NO_TLS = f"What answers there does not speak TLS; {ASK_FOR} begin OPENCLAW_GATEWAY_URL with http://."


def verify() -> ssl.SSLContext | bool:
    """As the HTTP clients take it."""
    return _trusting(settings.OPENCLAW_GATEWAY_CA) if settings.OPENCLAW_GATEWAY_CA else True


@cache
def _trusting(path: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=path)


def explained(error: ssl.SSLError) -> str:
    """What is wrong with a certificate, and who has to do what; nothing where that is not known."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return NO_TLS if error.reason in NOT_TLS else ""
    code = error.verify_code
    if code in UNKNOWN_AUTHORITY:
        signed = (
            "signed by another authority than that in OPENCLAW_GATEWAY_CA" if settings.OPENCLAW_GATEWAY_CA else UNKNOWN
        )
        return f"The gateway's certificate is {signed}; {ASK_FOR} set OPENCLAW_GATEWAY_CA to its authority's file."
    if code in OTHER_NAME:
        return (
            f"The gateway's certificate is for another name; {ASK_FOR} set OPENCLAW_GATEWAY_URL to a name that stands "
            "in it."
        )
    if code == EXPIRED:
        return f"The gateway's certificate has expired; {ASK_FOR} renew it."
    if code == NOT_YET:
        return f"The gateway's certificate is not valid yet; {ASK_FOR} set the clocks right."
    return f"The gateway's certificate is not accepted: {error.verify_message}."
