"""The sitemap, HTTP and WebSocket."""

from typing import Any

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from . import accounts, sessions, views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="chat"), name="home"),
    path("chat/", views.chat, name="chat"),
    path("chats/", views.create, name="create"),
    path("chats/new/", views.new, name="new"),
    path("chats/list/", views.chat_list, name="list"),
    path("chats/<uuid:pk>/messages/", views.messages, name="messages"),
    path("chats/<uuid:pk>/stop/", views.stop, name="stop"),
    path("chats/<uuid:pk>/retry/", views.retry, name="retry"),
    path("chats/<uuid:pk>/queue/", views.queue, name="queue"),
    path("chats/<uuid:pk>/read/", views.read, name="read"),
    path("chats/<uuid:pk>/rename/", sessions.rename, name="rename"),
    path("chats/<uuid:pk>/persist/", sessions.persist, name="persist"),
    path("chats/<uuid:pk>/pin/", sessions.pin, name="pin"),
    path("chats/<uuid:pk>/reset/", sessions.reset, name="reset"),
    path("chats/<uuid:pk>/unreset/", sessions.unreset, name="unreset"),
    path("chats/<uuid:pk>/delete/", sessions.delete, name="delete"),
    path("chats/<uuid:pk>/restore/", sessions.restore, name="restore"),
    path("login/", accounts.login, name="login"),
    path("logout/", accounts.logout, name="logout"),
    path("account/", accounts.account, name="account"),
    path("account/link/<str:uid>/<str:token>/", accounts.choose_password, name="choose-password"),
    path("first-account/<str:token>/", accounts.first_account, name="first-account"),
    path("healthz", views.healthz, name="healthz"),
    path("admin/login/", accounts.login, name="admin-login"),  # one login, one throttle
    path("admin/", admin.site.urls),
]

handler404 = "chatapp.views.not_found"


def sockets(consumer: Any) -> list:
    return [path("ws/", consumer.as_asgi())]
