"""Validates exports with their public validators: roc-validator for RO-Crate, the SPDX project's Python model, the OpenLineage client's classes.

Usage: validate.py ro-crate FOLDER | spdx FILE | openlineage FILE. Prints what is wrong, a line each, and nothing for a good one.
"""

import enum
import importlib
import json
import pathlib
import pkgutil
import sys
import typing


def ro_crate(folder):
    """The validator fetches the JSON-LD context; it is served here from the copy that ro-crate-py ships, so that nothing is asked of the network."""
    import requests
    import rocrate

    context = (pathlib.Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()

    def answer(self, method, url, *args, **kwargs):
        response = requests.Response()
        response.status_code, response.url, response._content = 200, url, context
        response.headers["Content-Type"] = "application/ld+json"
        return response

    requests.Session.request = answer
    from rocrate_validator import models, services

    for profile in ["ro-crate-1.1", "process-run-crate"]:
        settings = services.ValidationSettings(
            rocrate_uri=folder, profile_identifier=profile, requirement_severity=models.Severity.REQUIRED
        )
        for issue in services.validate(settings).get_issues():
            yield f"{profile}: {issue.check.identifier}: {issue.message}"


def spdx(path):
    """Reading checks classes, properties and types; writing checks that nothing required is missing."""
    import io

    from spdx_python_model import v3_0_1 as model

    objects = model.SHACLObjectSet()
    with open(path, "rb") as file:
        model.JSONLDDeserializer().read(file, objects)
    missing = objects.link()
    if missing:
        yield from (f"names something that is not there: {one}" for one in missing if "NoAssertionLicense" not in str(one))
    model.JSONLDSerializer().write(objects, io.BytesIO())
    packages = [*objects.foreach_type("ai_AIPackage"), *objects.foreach_type("dataset_DatasetPackage")]
    if not packages:
        yield "there are no packages"
    relations = list(objects.foreach_type("Relationship"))
    for package in packages:
        # What the profiles ask beside the classes.
        for kind in ["hasDeclaredLicense", "hasConcludedLicense"]:
            count = sum(r.from_ is package and str(r.relationshipType).endswith(kind) for r in relations)
            if count != 1:
                yield f"{package.name} has {count} relationships {kind}"
        for name in ["releaseTime", "software_downloadLocation", "software_primaryPurpose"]:
            if not getattr(package, name):
                yield f"{package.name} has no {name}"


def openlineage(path):
    """Each object is made of the client's class: fields that it has not, that are missing, or of another type are told."""
    import attr
    import openlineage.client.generated as generated
    from openlineage.client.generated import base

    facets = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for cls in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(cls, type) and hasattr(cls, "_get_schema"):
                facets[cls._get_schema()] = cls

    def make(kind, value, place):
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if args and type(None) in args:
            return None if value is None else make([a for a in args if a is not type(None)][0], value, place)
        if origin is list:
            return [make(args[0], one, f"{place}[{at}]") for at, one in enumerate(value)]
        if origin is dict:
            for name, facet in value.items():
                if facet["_schemaURL"] not in facets:
                    raise TypeError(f"{place}.{name}: no facet {facet['_schemaURL']}")
            return {n: make(facets[f["_schemaURL"]], f, f"{place}.{n}") for n, f in value.items()}
        if attr.has(kind):
            hints = typing.get_type_hints(kind)
            known = {f.name: f for f in attr.fields(kind)}
            ignored = {"_producer", "_schemaURL"}
            unknown = set(value) - set(known) - ignored
            if unknown:
                raise TypeError(f"{place}: {kind.__name__} has no {unknown}")
            given = {n: make(hints[n], v, f"{place}.{n}") for n, v in value.items() if n in known and n not in ignored}
            given = {known[n].alias: v for n, v in given.items() if known[n].init}
            return kind(**given)
        if isinstance(kind, type) and issubclass(kind, (str, int, float, bool, enum.Enum)) and not isinstance(value, (dict, list)):
            return kind(value)
        return value

    lines = pathlib.Path(path).read_text().splitlines()
    if not lines:
        yield "there are no events"
    for at, line in enumerate(lines):
        try:
            make(base.RunEvent, json.loads(line), f"line {at + 1}")
        except Exception as e:
            yield f"{type(e).__name__}: {e}"


def main():
    kind, path = sys.argv[1:]
    try:
        for line in {"ro-crate": ro_crate, "spdx": spdx, "openlineage": openlineage}[kind](path):
            print(line)
    except Exception as e:
        print(f"{type(e).__name__}: {e}")


main()
