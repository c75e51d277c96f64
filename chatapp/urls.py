"""The sitemap, HTTP and WebSocket."""

from typing import Any

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from . import (
    accounts,
    adopting,
    api,
    bulk,
    creating,
    files,
    finding,
    health,
    history,
    line,
    managing,
    sessions,
    slash,
    versions,
    views,
)

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="chat"), name="home"),
    path("chat/", views.chat, name="chat"),
    path("sessions/", managing.sessions, name="sessions"),
    path("sessions/adopt/", adopting.adopt, name="adopt"),
    path("chats/", creating.create, name="create"),
    path("chats/new/", creating.new, name="new"),
    path("chats/list/", finding.chat_list, name="list"),
    path("chats/switcher/", finding.switcher, name="switcher"),
    path("chats/search/", finding.search, name="search"),
    path("chats/bulk/", bulk.bulk, name="bulk"),
    path("chats/import/", files.bring, name="import"),
    path("chats/<uuid:pk>/menu/", finding.menu, name="menu"),
    path("chats/<uuid:pk>/draft/", finding.draft, name="draft"),
    path("chats/commands/", slash.commands, name="commands"),
    path("chats/<uuid:pk>/messages/", views.messages, name="messages"),
    path("chats/<uuid:pk>/source/", files.source, name="source"),
    path("chats/<uuid:pk>/stop/", views.stop, name="stop"),
    path("chats/<uuid:pk>/retry/", versions.retry, name="retry"),
    path("chats/<uuid:pk>/regenerate/", versions.regenerate, name="regenerate"),
    path("chats/<uuid:pk>/edit/", versions.edit, name="edit"),
    path("chats/<uuid:pk>/queue/", line.queue, name="queue"),
    path("chats/<uuid:pk>/read/", views.read, name="read"),
    path("chats/<uuid:pk>/rename/", sessions.rename, name="rename"),
    path("chats/<uuid:pk>/persist/", sessions.persist, name="persist"),
    path("chats/<uuid:pk>/pin/", sessions.pin, name="pin"),
    path("chats/<uuid:pk>/archive/", sessions.archive, name="archive"),
    path("chats/<uuid:pk>/fork/", sessions.fork, name="fork"),
    path("chats/<uuid:pk>/reset/", sessions.reset, name="reset"),
    path("chats/<uuid:pk>/unreset/", sessions.unreset, name="unreset"),
    path("chats/<uuid:pk>/remind/", sessions.remind, name="remind"),
    path("chats/<uuid:pk>/delete/", sessions.delete, name="delete"),
    path("chats/<uuid:pk>/restore/", sessions.restore, name="restore"),
    path("chats/<uuid:pk>/purge/", managing.purge, name="purge"),
    path("chats/<uuid:pk>/export/", files.take, name="export"),
    path("chats/<uuid:pk>/history/", history.history, name="history"),
    path("login/", accounts.login, name="login"),
    path("logout/", accounts.logout, name="logout"),
    path("account/", accounts.account, name="account"),
    path("account/link/<str:uid>/<str:token>/", accounts.choose_password, name="choose-password"),
    path("account/tokens/", accounts.make_token, name="make-token"),
    path("account/tokens/<int:pk>/revoke/", accounts.revoke_token, name="revoke-token"),
    path("first-account/<str:token>/", accounts.first_account, name="first-account"),
    path("api/<path:path>", api.call, name="api"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("admin/login/", accounts.login, name="admin-login"),  # one login, one throttle
    path("admin/", admin.site.urls),
]

handler404 = "chatapp.views.not_found"


def sockets(consumer: Any) -> list:
    return [path("ws/", consumer.as_asgi())]
