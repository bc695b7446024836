"""What an error of a store's client means, told by its kind and not by its text: whether to try again, or whom to ask.

Each client library has errors of its own, which fsspec's drivers wrap in others: botocore's and aiohttp's below s3fs,
google-auth's and gcsfs's, azure-core's below adlfs. None is imported here; an error is known by the code or the status
that it carries, by its class's name, and by those of what caused it.
"""

import errno
from collections.abc import Iterator
from typing import Any

TRANSIENT, EXPIRED, NO_BUCKET, NO_RIGHT, NO_CREDENTIALS, OTHER = (
    "transient", "expired", "no bucket", "no right", "no credentials", "other",
)  # fmt: skip

_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "RequestTimeTooSkewed"}
_NO_RIGHT = {
    "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId", "SignatureDoesNotMatch",
    "AuthorizationFailure", "AuthenticationFailed", "AuthorizationPermissionMismatch", "InvalidToken", "Forbidden",
}  # fmt: skip
_THROTTLED = {
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "ServerBusy",
    "ServiceUnavailable", "InternalError", "RequestTimeout", "OperationTimedOut", "BandwidthLimitExceeded",
}  # fmt: skip
_STATUSES = {408, 425, 429, 500, 502, 503, 504, 509}
_CLASSES = {
    # botocore
    "ConnectTimeoutError", "ReadTimeoutError", "EndpointConnectionError", "ConnectionClosedError", "HTTPClientError",
    "ResponseStreamingError", "IncompleteReadError", "ResponseParserError", "ConnectionError", "SSLError",
    # aiohttp, urllib3
    "ClientPayloadError", "ClientConnectionError", "ClientConnectorError", "ServerDisconnectedError", "ClientOSError",
    "ServerTimeoutError", "ContentLengthError", "IncompleteRead", "ProtocolError", "ChecksumError",
    # google, azure, fsspec
    "TransportError", "ServiceRequestError", "ServiceResponseError", "FSTimeoutError",
}  # fmt: skip
_CREDENTIAL_CLASSES = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "DefaultCredentialsError",
    "ClientAuthenticationError", "ProfileNotFound", "TokenRetrievalError",
}  # fmt: skip
_EXPIRED_CLASSES = {"RefreshError", "RefreshWithMFAUnsupportedError", "UnauthorizedSSOTokenError"}
_ERRNO = {
    errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED,
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPIPE, errno.EIO, errno.EREMOTEIO,
}  # fmt: skip


def kind_of_fault(error: BaseException) -> str:
    """One of the kinds above. The innermost cause that says anything decides."""
    kinds = [kind for cause in _causes(error) if (kind := _kind(cause)) is not None]
    return kinds[-1] if kinds else OTHER


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _kind(error: BaseException) -> str | None:
    code, status = _code_and_status(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    if code in _NO_BUCKET:
        return NO_BUCKET
    if code in _EXPIRED or names & _EXPIRED_CLASSES:
        return EXPIRED
    if names & _CREDENTIAL_CLASSES:
        return NO_CREDENTIALS
    if code in _NO_RIGHT or status in (401, 403) or isinstance(error, PermissionError):
        return NO_RIGHT
    if code in _THROTTLED or status in _STATUSES:
        return TRANSIENT
    if names & _CLASSES:  # aiohttp's ContentLengthError of a cut body says 400, which no server said
        return TRANSIENT
    if status is not None:
        return OTHER
    if isinstance(error, ConnectionError | TimeoutError):
        return TRANSIENT
    if isinstance(error, OSError) and error.errno in _ERRNO:
        return TRANSIENT
    return None


def _code_and_status(error: BaseException) -> tuple[str, int | None]:
    """The store's own word for an error, and the status of HTTP, as far as it carries them."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's ClientError
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return str(response.get("Error", {}).get("Code", "")), status
    code = getattr(error, "error_code", None)  # azure's
    for name in ("status_code", "status", "code"):  # azure's, aiohttp's, gcsfs's
        number = getattr(error, name, None)
        if isinstance(number, int | str) and str(number).isdigit():
            return str(getattr(code, "value", code) or ""), int(number)
    return str(getattr(code, "value", code) or ""), None
