"""The validators, and the two public tools that infer OpenAPI documents from a HAR."""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TIMEOUT = 600


def restart_with_packages(packages):
    """Runs this script again with the Python that has the packages, unless it is the one."""
    python = os.path.join(packages, "python", "bin", "python")
    try:
        import jsonschema  # noqa: F401
        import openapi_spec_validator  # noqa: F401
    except ImportError:
        if os.environ.get("SPECTRAL_OPENAPI_RESTARTED") or not os.path.exists(python):
            raise SystemExit("packages are missing: run tests/openapi/install") from None
        os.environ["SPECTRAL_OPENAPI_RESTARTED"] = "1"
        os.execv(python, [python, *sys.argv])


def value_validator(schema, components):
    """Returns a function that returns the first error of a value, or None."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator({**schema, "components": components})

    def first_error(value):
        error = next(validator.iter_errors(value), None)
        return error and f"{'/'.join(map(str, error.absolute_path))}: {error.message[:160]}"

    return first_error


def document_error(document):
    """Returns the first error that openapi-spec-validator finds, or None."""
    from openapi_spec_validator import validate

    try:
        validate(document)
    except Exception as error:  # noqa: BLE001 # some are no validation errors
        return str(error).splitlines()[0][:160]
    return None


def rejected_by_swagger_parser(packages, files):
    """Returns a line for each file that swagger-parser rejects."""
    done = node(packages, "validate", *files)
    if done.stderr:
        raise SystemExit(f"swagger-parser: {done.stderr}")
    return done.stdout.splitlines()


def har_to_openapi(packages, har, output):
    done = node(packages, "infer", har, output)
    return None if done.returncode == 0 else last_line(done.stderr)


def mitmproxy2swagger(packages, har, output, url):
    """Runs both passes: the first lists the paths, the second describes those that a person keeps. Here it is all of them.

    The tool cannot read some bodies that are not JSON. It gets a second HAR, without them.
    """
    with open(har, encoding="utf-8") as text:
        capture = json.load(text)
    for entry in capture["log"]["entries"]:
        if "json" not in entry["request"].get("postData", {}).get("mimeType", "json"):
            del entry["request"]["postData"]
    reduced = output + ".har"
    with open(reduced, "w", encoding="utf-8") as text:
        json.dump(capture, text)
    error = None
    for file in (har, reduced):
        if os.path.exists(output):
            os.remove(output)
        for _ in range(2):
            command = [os.path.join(packages, "python", "bin", "mitmproxy2swagger"), "-i", file, "-o", output, "-p", url, "-f", "har"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, errors="replace")
            if os.path.exists(output):
                with open(output, encoding="utf-8") as text:
                    described = text.read()
                with open(output, "w", encoding="utf-8") as text:
                    text.write(re.sub(r"^(\s*- )ignore:", r"\1", described, flags=re.MULTILINE))
        error = None if done.returncode == 0 else last_line(done.stderr or done.stdout)
        if not error:
            break
    return error


def node(packages, *arguments):
    command = ["node", os.path.join(HERE, "tools.mjs"), os.path.join(packages, "js"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)


def last_line(text):
    return (text.strip().splitlines() or ["failed"])[-1][:100]
