"""Reads the exchanges and WebSockets of a bundle."""
import json
import zipfile


def exchanges(path, token):
    """Returns method, URL and status of the exchanges with `token` as their first path segment.

    A WebSocket counts only with its messages.
    """
    found, sockets = [], set()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in names:
            if name.startswith("ws/") and name.endswith(".json") and "_m" not in name:
                document = json.loads(archive.read(name))
                if document["message_count"] > 2:
                    sockets.add(document["handshake_trace_ref"])
        for name in names:
            if name.startswith("traces/") and name.endswith(".json"):
                document = json.loads(archive.read(name))
                request, response = document["request"], document["response"]
                status = response and response["status"]
                if request["url"].split("/")[3:4] == [token] and (status != 101 or document["id"] in sockets):
                    found.append((request["method"], request["url"], status))
    return found
