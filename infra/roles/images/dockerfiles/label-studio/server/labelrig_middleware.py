"""What this image adds to Label Studio's handling of requests; `labelrig_server` names each class in its place."""

from __future__ import annotations

import math
import os
import posixpath
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from django.conf import settings  # type: ignore[import-not-found]
from django.core.exceptions import DisallowedHost, SuspiciousOperation  # type: ignore[import-not-found]
from django.http import HttpResponse, HttpResponseNotFound, JsonResponse  # type: ignore[import-not-found]
from django.utils._os import safe_join  # type: ignore[import-not-found]
from django.utils.html import escape  # type: ignore[import-not-found]
from labelrig_brake import Brake
from labelrig_pictures import grant_for, needs_picture, starts_as_unshown
from labelrig_storages import Storages, link_of, start_of

GetResponse = Callable[[Any], Any]
BRAKE_FILE = "/dev/shm/labelrig-sign-ins"  # noqa: S108 - memory of this container, which all its processes see
SIGN_IN = ("/user/login", "/admin/login")
READS = ("GET", "HEAD", "OPTIONS", "TRACE")
PROGRAMS = "@labelrig.invalid"  # where their addresses end; no mail gets there
WHO_AM_I = "/api/current-user/whoami"
IMAGES = re.compile(r"/(?:data/(?:upload|local-files)|storage-data|(?:tasks|projects)/\d+/(?:resolve|presign))(?:/|$)")
LOCAL_FILES, UPLOADS = "/data/local-files", "/data/upload/"
ORIGINAL = "original"
GRANT = "X-Labelrig-Picture"
FOUND, OK, NOT_MODIFIED, SEE_OTHER = 302, 200, 304, 303


class SecureCookies:
    """Cookies of people who come by TLS never travel without it."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self._get_response(request)
        if request.is_secure():
            for cookie in response.cookies.values():
                cookie["secure"] = True
        return response


class OwnPagesOnly:
    """Refuse what another site's page sends with the cookie of a person who is signed in here.

    Label Studio asks for a CSRF token at its forms only. Browsers name the page's origin with everything that changes
    something; programs with a token send no cookie.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        origin = request.headers.get("Origin")
        with_cookie = settings.SESSION_COOKIE_NAME in request.COOKIES and "Authorization" not in request.headers
        if origin is not None and with_cookie and request.method not in READS and not _is_own(request, origin):
            return JsonResponse(
                {
                    "status_code": 403,
                    "detail": f"a page of {origin[:200]} may not change anything here: "
                    "open Label Studio at its own address",
                },
                status=403,
            )
        return self._get_response(request)


def _is_own(request: Any, origin: str) -> bool:
    try:
        own = f"{request.scheme}://{request.get_host()}"
    except DisallowedHost:
        return False
    return origin == own or origin in settings.CSRF_TRUSTED_ORIGINS


class SignInBrake:
    """Wrong passwords are slowed down; see `labelrig_brake`."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._brake = Brake(BRAKE_FILE)

    def __call__(self, request: Any) -> Any:
        path = request.path_info.rstrip("/")
        # Label Studio handles an address without its last slash anew, with all middleware.
        if request.method != "POST" or path not in SIGN_IN or getattr(request, "labelrig_counted", False):
            return self._get_response(request)
        request.labelrig_counted = True
        account = request.POST.get("email") or request.POST.get("username") or ""
        address = client_address(request.META)
        seconds = math.ceil(self._brake.begin(account, address))
        if seconds:
            return _too_many(seconds)
        response = self._get_response(request)
        if response.status_code == FOUND:
            self._brake.succeeded(account, address)
        return response


def client_address(values: Any) -> str:
    """Whose request it is. The proxy in front ends the list with whom it was called by.

    Where that was another proxy which it trusts, the list has more, and the one before is whom that one was called by.
    """
    listed = [part.strip() for part in values.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    if not listed:
        return str(values.get("REMOTE_ADDR", ""))
    return str(listed[-2] if len(listed) > 1 else listed[-1])


def _too_many(seconds: int) -> Any:
    sentence = f"Too many wrong passwords for this account: wait {seconds} seconds, then try again."
    page = f'<!doctype html><title>Wait</title><p>{escape(sentence)}</p><p><a href="/user/login/">Sign in</a></p>'
    response = HttpResponse(page, status=429)
    response["Retry-After"] = str(seconds)
    return response


class FilesForPrograms:
    """Accounts of programs read images and nothing else, whatever this edition lets every member of it do.

    The SAM2 backend has one: it decodes pictures of anybody, and what breaks into it must not find more.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        # Such an account has no password, and so no session: only a token brings it here.
        if getattr(request, "is_jwt", False) and request.user.email.endswith(PROGRAMS):
            may = request.path_info.rstrip("/") == WHO_AM_I or IMAGES.match(request.path_info)
            if request.method not in ("GET", "HEAD") or not may:
                detail = f"{request.user.email} may read images and nothing else"
                return JsonResponse({"status_code": 403, "detail": detail}, status=403)
        return self._get_response(request)


class FilesByProxy:
    """Label Studio decides who may see a file, and the proxy gets it: from the image folder by X-Accel-Redirect, or
    from the SAM2 backend by a grant, where it is one that browsers do not show.

    Label Studio itself would read the whole file for it. With `If-None-Match: *` it only answers whether this person
    may see it and whether it is there, by 304. What lies in a cloud storage it streams, or redirects to: that goes on
    as it is, but for a picture. Programs, which come with a token, get every file as it is, and so do people who add
    `original`.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._storages = Storages()

    def __call__(self, request: Any) -> Any:
        by_proxy = request.headers.get("X-Sendfile-Type") == "X-Accel-Redirect" and request.method == "GET"
        if by_proxy and request.path_info.rstrip("/") == LOCAL_FILES:
            return self._local_file(request)
        response = self._get_response(request)
        picture = self._instead(request, response) if by_proxy else None
        if picture is None:
            return response
        response.close()
        return picture

    def _instead(self, request: Any, response: Any) -> Any | None:
        """A picture in the place of what Label Studio would send; None where that is right."""
        link = link_of(request)
        if link is not None and response.status_code == OK and response.streaming:
            return _picture(request, lambda: starts_as_unshown(start_of(response), link.uri), link.url)
        if link is not None and response.status_code == SEE_OTHER:
            return _picture(request, lambda: starts_as_unshown(self._storages.start(link), link.uri), link.url)
        if request.path_info.startswith(UPLOADS) and response.status_code == OK:
            path = str(safe_join(settings.MEDIA_ROOT, request.path_info.removeprefix(settings.MEDIA_URL)))
            return _picture(request, lambda: needs_picture(path), quote(request.path_info))
        return None

    def _local_file(self, request: Any) -> Any:
        request.META["HTTP_IF_NONE_MATCH"] = "*"
        response = self._get_response(request)
        if response.status_code != NOT_MODIFIED:
            return response
        root = settings.LOCAL_FILES_DOCUMENT_ROOT
        path = served_path(root, request.GET.get("d", ""))
        if path is None:
            return HttpResponseNotFound()
        url = f"{LOCAL_FILES}/?d={path.lstrip('/')}"
        file = os.path.join(os.path.realpath(root), unquote(path).lstrip("/"))
        picture = _picture(request, lambda: needs_picture(file), url)
        if picture is not None:
            return picture
        answer = HttpResponse(status=OK)
        answer["X-Accel-Redirect"] = path
        return answer


def _picture(request: Any, needed: Callable[[], bool], url: str) -> Any | None:
    """The answer by which the proxy asks the backend for a picture; None where the file itself is what is wanted."""
    if "Authorization" in request.headers or ORIGINAL in request.GET or not needed():
        return None
    grant = grant_for(url)
    if grant is None:
        return None
    answer = HttpResponse(status=OK)
    answer[GRANT] = grant
    return answer


def served_path(root: str, asked: str) -> str | None:
    """Where below `root` the file lies that Label Studio means by `asked`, as the path of a URL.

    None where it does not lie there: a link may lead out of the folder, for Label Studio but not for the proxy.
    """
    try:
        # As io_storages/localfiles/views.py does it.
        full = safe_join(root, posixpath.normpath(asked).lstrip("/"))
    except SuspiciousOperation:
        return None
    top, real = os.path.realpath(root), os.path.realpath(full)
    if not real.startswith(top.rstrip("/") + "/") or not os.path.isfile(real):
        return None
    return "/" + quote(os.path.relpath(real, top), safe="/")
