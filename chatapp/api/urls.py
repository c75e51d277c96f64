"""What is under /api/; loaded with the first call."""

from django.urls import path

from . import docs
from .calls import api

urlpatterns = [
    path("docs", docs.page, name="docs"),
    path("", api.urls),
]
