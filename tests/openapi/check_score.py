#!/usr/bin/env python3
"""Checks the scorer: the exercised document itself scores fully, and each damage to it is noticed by one measure.

Needs no capture and no packages.
"""
import copy
import sys

sys.dont_write_bytecode = True

from document import Document, wins
from observed import Exercised, Map
from score import Score


def exercised():
    made = Exercised("made-up")
    for id in ("7", "8"):
        user = {"id": int(id), "name": "n", "tags": Map({"k" + id: 1.5}), "parent": {"id": 1, **({"seen": None} if id == "7" else {})}}
        made.operation("/users/{id}", "get").add([("id", id)], [("page", "1")], 200, None, ("application/json", user))
        made.operation("/users/{id}:close", "post").add([("id", id)], [], 204, ("application/json", {"why": "w"}))
    made.operation("/users/me", "get").add([], [], 200, None, ("application/json", [1, 2]))
    made.operation("/users/{id}", "get").add([("id", "9")], [], 404, None, ("application/problem+json", {"title": "t"}))
    return made.document("origin")


HAR = {"log": {"entries": [
    {"request": {"method": "GET", "url": "http://origin/users/7?page=1", "queryString": [{"name": "page", "value": "1"}]},
     "response": {"status": 200, "content": {"mimeType": "application/json; charset=utf-8", "text": '{"id": 7}'}}},
    {"request": {"method": "GET", "url": "http://origin/users/me", "queryString": []},
     "response": {"status": 200, "content": {"mimeType": "application/json", "text": "[1]"}}},
]}}


def content(document, path="/users/{id}", status="200", media="application/json"):
    return document["paths"][path]["get"]["responses"][status]["content"][media]


def schema(document):
    return content(document)["schema"]["properties"]


# A change of the document, and the measure that notices it.
DAMAGES = {
    "template removed": (lambda it: it["paths"].pop("/users/me"), lambda score: score.templates.recall),
    "template made up": (lambda it: it["paths"].update({"/users/7": it["paths"]["/users/me"]}), lambda score: score.templates.precision),
    "verb taken for a part of the id": (lambda it: it["paths"].update({"/users/{id}": it["paths"].pop("/users/{id}:close")}),
                                        lambda score: score.templates.f1),
    "method made up": (lambda it: it["paths"]["/users/me"].update(put={"responses": {}}), lambda score: score.operations.precision),
    "query parameter removed": (lambda it: it["paths"]["/users/{id}"]["get"]["parameters"].pop(), lambda score: score.query.recall),
    "wrong type of a parameter": (lambda it: it["paths"]["/users/{id}"]["get"]["parameters"][0].update(schema={"type": "boolean"}),
                                  lambda score: score.parameters.value),
    "status removed": (lambda it: it["paths"]["/users/{id}"]["get"]["responses"].pop("404"), lambda score: score.statuses.recall),
    "member removed": (lambda it: schema(it).pop("name"), lambda score: score.members.recall),
    "member made up": (lambda it: schema(it)["parent"]["properties"].update(x={}), lambda score: score.members.precision),
    "required made up": (lambda it: schema(it)["parent"]["required"].append("seen"), lambda score: score.required.precision),
    "required removed": (lambda it: schema(it)["parent"].pop("required"), lambda score: score.required.recall),
    "wrong type of a member": (lambda it: schema(it)["name"].update(type=["integer"]), lambda score: score.types.value),
    "map as members": (lambda it: schema(it).update(tags={"type": "object", "properties": {"k7": {"type": "number"}}}),
                       lambda score: score.maps.value),
    "literal taken for an id": (lambda it: it["paths"].pop("/users/me"), lambda score: score.valid.value),
    "exchange without an operation": (lambda it: it["paths"].pop("/users/{id}"), lambda score: score.served.value),
    "two templates for one exchange": (lambda it: it["paths"].update({"/{a}/7": it["paths"]["/users/{id}"]}),
                                       lambda score: score.served.value),
    "status not described": (lambda it: it["paths"]["/users/{id}"]["get"]["responses"].pop("200"), lambda score: score.valid.value),
    "media type not described": (lambda it: it["paths"]["/users/me"]["get"]["responses"]["200"].pop("content"),
                                 lambda score: score.valid.value),
    "required query parameter that was absent": (
        lambda it: it["paths"]["/users/me"]["get"]["parameters"].append({"name": "q", "in": "query", "required": True}),
        lambda score: score.valid.value),
}


def scored(inferred):
    score = Score(Document(exercised()), Document(inferred))
    # A validator that only distinguishes lists from objects.
    score.check_exchanges(HAR, lambda schema, _: lambda value: None if isinstance(value, list) == ("items" in schema) else "another type")
    return score


def main():
    problems = []
    perfect = scored(exercised())
    problems += [f"the exercised document: {note}" for note in perfect.notes]
    for name, (damage, measure) in DAMAGES.items():
        if measure(perfect) != 1:
            problems.append(f"the exercised document: {name}: {measure(perfect)}")
        document = copy.deepcopy(exercised())
        damage(document)
        if measure(scored(document)) == 1:
            problems.append(f"not noticed: {name}")
    later = scored(exercised())
    later.check_shorter(Document({"paths": {"/users/17": {"get": {}}, "/users/x:close": {"post": {}}, "/orders": {"get": {}}}}))
    if later.lost != ["/orders"]:
        problems.append(f"lost templates: {later.lost}")
    later.check_markers("a marker m1", {"m1", "m2"})
    if later.leaked != ["m1"]:
        problems.append(f"leaked values: {later.leaked}")
    if not (wins("/a/b", "/a/{}") and wins("/a/{}:x", "/a/{}")) or wins("/{}/b", "/a/{}"):
        problems.append("the order of templates is wrong")
    print("\n".join(problems) or f"{len(DAMAGES)} damages are noticed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
