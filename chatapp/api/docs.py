"""The page that describes the calls, made from their schema: no JavaScript, nothing from elsewhere."""

import json
import re
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from ..requests import Request
from .calls import schema

EXAMPLE_NAME = "Travel"
WORDS = {"date-time": "time", "boolean": "true or false", "integer": "number", "string": "text"}


@login_required
@require_GET
def page(request: Request) -> HttpResponse:
    described = schema()
    shapes = described["components"]["schemas"]
    home = request.build_absolute_uri(reverse("home")).rstrip("/")
    calls = [
        call(home, path, method.upper(), operation, shapes)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    answered = answered_by(described["paths"], shapes)
    shown = [{"name": name, "fields": fields(shape)} for name, shape in shapes.items() if name in answered]
    return render(request, "api/docs.html", {"calls": calls, "shapes": shown})


def answered_by(paths: dict[str, Any], shapes: dict[str, Any]) -> set[str]:
    """The names of all shapes in answers, and of those within them."""
    found: set[str] = set()
    new = names_in([operation["responses"] for methods in paths.values() for operation in methods.values()])
    while new:
        found |= new
        new = names_in([shapes[name] for name in new]) - found
    return found


def names_in(part: Any) -> set[str]:
    return set(re.findall(r"#/components/schemas/(\w+)", json.dumps(part)))


def call(home: str, path: str, method: str, operation: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    body = next(iter(names_in(operation.get("requestBody", {}))), "")
    taken = [about(given["name"], given["schema"], given["required"]) for given in operation["parameters"]]
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "takes": [*(one for one in taken if one["name"] != "key"), *(fields(shapes[body]) if body else [])],
        "answers": answers(operation["responses"]),
        "refusals": ", ".join(str(status) for status in operation["responses"] if status >= 400),
        "curl": curl(home + path.replace("{key}", EXAMPLE_NAME), method, shapes.get(body, {})),
    }


def answers(responses: dict[int, Any]) -> list[dict[str, Any]]:
    return [
        {"status": status, "shape": kind(found["content"]["application/json"]["schema"]) if "content" in found else ""}
        for status, found in responses.items()
        if status < 400
    ]


def fields(shape: dict[str, Any]) -> list[dict[str, Any]]:
    return [about(name, field, name in shape.get("required", ())) for name, field in shape["properties"].items()]


def about(name: str, field: dict[str, Any], required: bool) -> dict[str, Any]:
    default = field.get("default")
    return {
        "name": name,
        "kind": kind(field),
        "required": required,
        "default": "" if default in (None, "") else json.dumps(default),
        "description": field.get("description", ""),
    }


def kind(field: dict[str, Any]) -> str:
    """What a value is, in a word or two; another shape by its name."""
    if "$ref" in field:
        return field["$ref"].rsplit("/", 1)[-1]
    if either := field.get("anyOf") or field.get("allOf"):
        return " or ".join(kind(one) for one in either)
    if field.get("type") == "array":
        return f"list of {kind(field['items'])}"
    word = field.get("format") or field.get("type", "")
    return WORDS.get(word, word)


def curl(address: str, method: str, body: dict[str, Any]) -> str:
    parts = [f"curl {'' if method == 'GET' else f'-X {method} '}{address}", '-H "Authorization: Bearer $TOKEN"']
    if examples := body.get("examples"):
        parts += ['-H "Content-Type: application/json"', f"-d '{json.dumps(examples[0])}'"]
    return " \\\n  ".join(parts)
