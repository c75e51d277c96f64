"""Signing in and out, the first account, passwords. No mail server: an operator copies links (`manage.py users`)."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login as sign_in
from django.contrib.auth import logout as sign_out
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.urls import reverse
from django.views.csrf import csrf_failure
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from sessions_core import links
from sessions_core.errors import Refusal
from sessions_core.hub import hub
from sessions_core.models import ApiToken, ChatEvent, Throttle, User
from sessions_core.text import clean_text

from .forms import AccountForm, ChosenPasswordForm, FirstAccountForm, NewPasswordForm
from .requests import Request, acting, where_from

View = Callable[..., HttpResponse]
TOO_MANY = "Too many attempts. Wait a few minutes, then try again."


def may_try(request: Request, name: str) -> bool:
    """Five a minute and twenty an hour for an address and a name, a hundred an hour for an address."""
    address = request.META.get("REMOTE_ADDR", "")
    person = f"login/{address}/{name.casefold()[:100]}"
    limits = [(person, 5, 60), (person, 20, 3600), (f"login/{address}", 100, 3600)]
    taken = [Throttle.objects.take(*limit) for limit in limits]  # each is counted, whatever the others say
    return all(taken)


@sensitive_post_parameters("password")
def login(request: Request) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect(wanted(request))
    if request.method != "POST":
        return render(request, "accounts/login.html", {"form": AuthenticationForm(request)})
    name = clean_text(request.POST.get("username", ""))
    if not may_try(request, name):
        return render(
            request,
            "accounts/login.html",
            {"form": AuthenticationForm(request), "error": TOO_MANY},
            status=429,
        )
    form = AuthenticationForm(request, request.POST)
    kept = {name: request.POST.get(name, "") for name in ("words", "next")}
    if form.is_valid():
        return welcome(request, form.get_user(), "signed in")
    ChatEvent.objects.create(verb="sign-in refused", detail={"name": name[:150]})
    return render(request, "accounts/login.html", {"form": form} | kept, status=400)


def token_over(request: Request, reason: str = "") -> HttpResponse:
    """Who signed in meanwhile, in another tab, is where this one's form would lead. Words in it are not dropped."""
    if request.path == reverse("login") and request.user.is_authenticated and not request.POST.get("words"):
        return redirect(wanted(request))
    return csrf_failure(request, reason)


def wanted(request: Request) -> str:
    """Where signing in leads."""
    return where_from(request) or resolve_url(settings.LOGIN_REDIRECT_URL)


def keeps_words(view: View) -> View:
    """What somebody typed whose session is over goes along through the sign-in, and is in the box afterwards.

    With JavaScript it stays in the box anyway, and is told so.
    """

    @wraps(view)
    def answer(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        words = request.POST.get("text", "")
        if request.user.is_authenticated or not words or request.htmx:
            return view(request, *args, **kwargs)
        context = {"form": AuthenticationForm(request), "words": words, "next": request.path}
        return render(request, "accounts/login.html", context, status=401)

    return answer


def welcome(request: Request, user, verb: str) -> HttpResponse:
    sign_in(request, user, backend="django.contrib.auth.backends.ModelBackend")
    ChatEvent.objects.create(actor=user, verb=verb)
    if words := request.POST.get("words"):
        request.session["words"] = clean_text(words)[: settings.MESSAGE_MAX_LENGTH]
    return redirect(wanted(request))


@require_POST
def logout(request: Request) -> HttpResponse:
    if request.user.is_authenticated:
        ChatEvent.objects.create(actor=request.user, verb="signed out")
        session = request.session.session_key
        sign_out(request)
        hub.sign_out(session=session)
    response = redirect("login")
    response["Clear-Site-Data"] = '"storage"'  # drafts and unsent messages kept in the browser
    return response


@login_required
@sensitive_post_parameters("old_password", "new_password1", "new_password2")
def account(request: Request) -> HttpResponse:
    changing_password = "old_password" in request.POST
    password = NewPasswordForm(request.user, request.POST if changing_password else None)
    form = AccountForm(request.POST if request.POST and not changing_password else None, instance=request.user)
    if changing_password and password.is_valid():
        password.save()
        ChatEvent.objects.create(actor=request.user, verb="password changed")
        update_session_auth_hash(request, password.user)
        hub.sign_out(user=request.user.pk)  # this page's own socket comes back; the others' sessions are over
        messages.success(request, "Your password is changed. Other devices are signed out, API tokens revoked.")
        return redirect("account")
    if form.is_bound and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("account")
    status = 400 if request.method == "POST" else 200
    return account_page(request, password_form=password, form=form, status=status)


def account_page(request: Request, *, status: int = 200, **context: Any) -> HttpResponse:
    context.setdefault("form", AccountForm(instance=request.user))
    context.setdefault("password_form", NewPasswordForm(request.user))
    del context["password_form"].fields["old_password"].widget.attrs["autofocus"]  # the page is about more than that
    context["tokens"] = request.user.api_tokens.recent()
    return render(request, "accounts/account.html", context, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def make_token(request: Request) -> HttpResponse:
    """The answer is the only page that ever shows the secret, so it is no redirect: those would have to store it."""
    if request.method != "POST":
        return redirect("account")
    name = request.POST.get("name", "")
    try:
        token, secret = ApiToken.make(request.user, name, acting(request))
    except Refusal as refusal:
        return account_page(request, token_name=name, token_error=str(refusal), status=refusal.status)
    return account_page(request, made=token, secret=secret)


@login_required
@require_POST
def revoke_token(request: Request, pk: int) -> HttpResponse:
    token = get_object_or_404(request.user.api_tokens.all(), pk=pk)
    token.revoke(acting(request))
    messages.success(request, f"The token “{token.name}” is revoked.")
    return redirect("account")


@sensitive_post_parameters("new_password1", "new_password2")
def choose_password(request: Request, uid: str, token: str) -> HttpResponse:
    """The page behind an invitation or a reset link; the link dies with its use."""
    user = links.user_of(uid, token)
    if user is None:
        return render(request, "accounts/link_over.html", status=404)
    form = ChosenPasswordForm(user, request.POST or None)
    if form.is_valid():
        form.save()
        hub.sign_out(user=user.pk)
        return welcome(request, user, "password chosen by link")
    return render(request, "accounts/choose_password.html", {"form": form, "name": user.get_username()})


@sensitive_post_parameters("password1", "password2")
def first_account(request: Request, token: str) -> HttpResponse:
    """The page behind the link `serve` prints; it works until there is a user."""
    if not links.first_account_open(token):
        raise Http404
    form = FirstAccountForm(request.POST or None)
    if form.is_valid():
        return welcome(request, make_first(form, token), "first account made")
    return render(request, "accounts/first_account.html", {"form": form})


@transaction.atomic
def make_first(form: FirstAccountForm, token: str) -> User:
    """An administrator, if there is still nobody: the link may have been opened twice."""
    if not links.first_account_open(token):
        raise Http404
    user = form.save(commit=False)
    user.is_staff = user.is_superuser = True
    user.save()
    return user
