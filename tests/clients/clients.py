#!/usr/bin/env python3
"""Runs common HTTP clients alone and under `spectral capture run`, and makes the table in docs/clients.md.

    tests/clients/install             installs the clients from Debian, PyPI and npm, as root
    tests/clients/clients.py          prints one line per client
    tests/clients/clients.py --write  writes the tables
    tests/clients/clients.py --check  fails if the table differs from what this run found

Each client runs once alone. If it fails there, it is an error of this script. Then it runs under capture, at most three times, until
it succeeds. Its exit code and its output are compared, and the bundle's exchanges with the requests that the origin received.
"""
import argparse
import collections
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

# Leaves no folder with compiled modules.
sys.dont_write_bytecode = True

import bundle
import ftp
import machine
import origin
import table
from programs import ALL, columns_of, commands_of, rows

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
HOST = "origin.test"
TIMEOUT = 120
ATTEMPTS = 3
# Runs a command until it succeeds, and keeps the output of each attempt apart from that of spectral.
REPEAT = f"""
for attempt in {" ".join(str(number) for number in range(ATTEMPTS))}; do
    "$@" >"$RESULTS/out$attempt" 2>"$RESULTS/err$attempt" </dev/null
    code=$?
    echo $code >"$RESULTS/code$attempt"
    [ $code = 0 ] && break
done
exit $code
"""


class Clients:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        tools = options.tools
        python = os.path.join(tools, "python")
        modules = [entry.path for entry in os.scandir(f"{python}/lib") if entry.is_dir()] if os.path.isdir(python) else ["/"]
        self.ca, certificate, key = machine.prepare(folder, python)
        self.log = origin.Log()
        context = origin.tls_context(certificate, key)
        for name in (HOST, "other.test"):
            origin.Origin(name, (machine.HOSTS[name], 80), self.log)
            origin.Origin(name, (machine.HOSTS[name], 443), self.log, context)
        self.values = {
            "host": HOST, "ca": self.ca, "python": f"{python}/bin/python", "modules": f"{modules[0]}/site-packages",
            "uv": f"{python}/bin/uv", "js": f"{tools}/js", "go_client": f"{tools}/client", "java_classes": f"{tools}/java",
            **{f"node{version}": f"{tools}/node{version}/node_modules/.bin/node" for version in ("20", "22", "24")},
        }
        ftp.serve(machine.HOSTS[HOST])
        self.start_grpc(certificate, key)
        self.run([options.spectral, "ca", "show", "--ca-dir", f"{folder}/spectral-ca"], {}, folder)

    def start_grpc(self, certificate, key):
        """Starts the origins for gRPC, if there is gRPC. They end with this script."""
        for name, arguments in (("grpc_tls", [key, certificate]), ("grpc_clear", [])):
            self.values[name] = "0"
            if os.path.isdir(self.values["modules"] + "/grpc"):
                command = [self.values["python"], f"{ROOT}/tests/peers/grpc_origin.py", *arguments]
                server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                self.values[name] = server.stdout.readline().strip()

    def missing(self, row):
        """Returns the first program that a row needs and that is not installed."""
        for need in row.needs:
            path = self.replace(need, {})
            there = glob.glob(path + "*") if "/" in path else shutil.which(path)
            if not there:
                return os.path.basename(path)
        return None

    def replace(self, text, more):
        values = {**self.values, **more}
        return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)

    def variables(self, home):
        """Returns a clean environment. The first variables name the origin's CA, for programs with roots of their own."""
        return {
            "NODE_EXTRA_CA_CERTS": self.ca, "DENO_CERT": self.ca, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": self.ca,
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "HOME": home, "LANG": "C.UTF-8", "GOTOOLCHAIN": "local",
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup")),
            "PYENV_VERSION": os.environ.get("PYENV_VERSION", ""),
            "npm_config_update_notifier": "false", "npm_config_fetch_retries": "0", "CARGO_NET_RETRY": "0",
        }

    def run(self, command, variables, folder):
        """Runs a command to its end. Returns its exit code and its stderr."""
        with open(os.path.join(folder, "stderr"), "w+", encoding="utf-8", errors="replace") as stderr:
            child = subprocess.Popen(command, env={**os.environ, **variables} if not variables else variables, cwd=folder,
                                     stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True)
            try:
                code = child.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, 9)
                code = child.wait() or 1
            stderr.seek(0)
            return code, stderr.read()

    def attempts(self, token, command, prefix, limit):
        """Runs a command after `prefix`. Returns the result of each attempt, the stderr of the prefix, and the folder."""
        folder = tempfile.mkdtemp(prefix=token, dir=self.folder)
        os.mkdir(f"{folder}/home")
        os.mkdir(f"{folder}/work")
        script = REPEAT if limit > 1 else REPEAT.replace("0 1 2", "0")
        line = [*prefix, "sh", "-c", script, "sh", *command]
        _, stderr = self.run(line, {**self.variables(f"{folder}/home"), "RESULTS": folder}, f"{folder}/work")
        results = []
        for number in range(limit):
            try:
                results.append(tuple(open(f"{folder}/{name}{number}", encoding="utf-8", errors="replace").read()
                                     for name in ("code", "out", "err")))
            except OSError:
                break
        return results, stderr, folder

    def outcome(self, number, row, column):
        """Returns the outcome of the commands of a column, and details for `--verbose`. Equal outcomes are one."""
        options = ["--all"] if column.endswith(ALL) else []
        outcomes, details = {}, []
        for part, (scheme, command) in enumerate(commands_of(row, column)):
            found, detail = self.outcome_of(f"client{number}x{part}", row, scheme, command, options)
            outcomes.setdefault(found, scheme)
            details.append(detail)
        found = next(iter(outcomes)) if len(outcomes) == 1 else "; ".join(f"{scheme}: {found}" for found, scheme in outcomes.items())
        return (table.BROKEN if table.BROKEN in outcomes else found), "\n".join(filter(None, details))

    def outcome_of(self, token, row, scheme, command, options):
        """Returns the outcome of a command under `capture run` with options, and details."""
        rest = f"{HOST}/{token}"
        more = {"url": f"{scheme}://{rest}", "url_with_password": f"{scheme}://user:pass@{rest}/password", "path": f"/{token}"}
        command = [self.replace(part, more) for part in command]
        alone, _, _ = self.attempts(token, command, [], 1)
        requests_alone = self.log.take(token)
        code, out, err = alone[0] if alone else ("none", "", "")
        if code.strip() != "0" or not out.strip():
            return table.BROKEN, f"alone: exit code {code.strip()}\n{out}\n{err}"
        file = f"{self.folder}/{token}.zip"
        prefix = [self.options.spectral, "capture", "run", *options, "-q", "-o", file, "--ca-dir", f"{self.folder}/spectral-ca", "--"]
        captured, stderr, _ = self.attempts(token, command, prefix, ATTEMPTS)
        requests = self.log.take(token)
        details = [f"spectral: {stderr}"] if stderr else []
        for attempt, (code, captured_out, captured_err) in enumerate(captured, 1):
            if (code, captured_out, captured_err) != alone[0]:
                details.append(f"attempt {attempt}: exit code {code.strip()}\n{captured_out}\n{captured_err}")
        if sorted(r[:3] for r in requests) != sorted(r[:3] for r in requests_alone):
            details.append(f"requests alone: {[r[:3] for r in requests_alone]}\nunder capture: {[r[:3] for r in requests]}")
        elif requests_alone and [r.headers for r in requests] != [r.headers for r in requests_alone]:
            details.append(f"fields alone: {[r.headers for r in requests_alone]}\nunder capture: {[r.headers for r in requests]}")
        last = captured[-1] if captured else ("none", "", "")
        if last[0] != "0\n" or last[1] != out:
            return table.FAILS, "\n".join(details)
        seen = bundle.exchanges(file, "peer.Peer" if row.name == "gRPC" else token)
        if len(captured) > 1:
            found = table.FIRST if len(captured) == 2 else table.FIRST_TWO
        elif seen and (row.name == "gRPC" or is_all(requests, seen, bool(options))):
            found = table.CAPTURED
        else:
            found = table.PARTLY if seen else table.PASSES
            details.append(f"in the bundle: {seen}")
        if without_numbers(last[2]) != without_numbers(err):
            found += table.PRINTS
        return found, "\n".join(details)


def is_all(requests, seen, may_have_more):
    """Returns true if the bundle has every request. With `--all` it may have more: those to servers of the command itself."""
    requests, seen = collections.Counter(tuple(r[:3]) for r in requests), collections.Counter(map(tuple, seen))
    return requests <= seen if may_have_more else requests == seen


def without_numbers(text):
    """Removes numbers such as process ids."""
    return re.sub(r"\d+", "", text)


def main():
    options = parse()
    if not os.access(options.spectral, os.X_OK):
        sys.exit(f"cannot run {options.spectral}: build it with 'cargo build'")
    machine.enter()
    folder = tempfile.mkdtemp(prefix="spectral-clients-")
    try:
        sys.exit(run(options, Clients(options, folder)))
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def run(options, clients):
    found, details, absent = {}, {}, []
    chosen = [row for row in rows() if re.search(options.only, f"{row.section}: {row.name}")]
    todo = []
    for row in chosen:
        missing = clients.missing(row)
        if missing:
            absent.append(f"{row.section}: {row.name}: not run, no {missing}")
        else:
            todo.extend((row, column) for column in columns_of(row))
    lock = threading.Lock()

    def one(number):
        row, column = todo[number]
        outcome, detail = clients.outcome(number, row, column)
        with lock:
            found[row.section, row.name, column] = outcome
            details[row.section, row.name, column] = detail

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, range(len(todo))))
    for key in ((row.section, row.name, column) for row, column in todo):
        print(f"{': '.join(key)}: {found[key]}")
        if details[key] and (options.verbose or found[key] == table.BROKEN):
            print("    " + details[key].strip().replace("\n", "\n    "))
    print("".join(f"{line}\n" for line in absent), end="")
    failed = any(outcome == table.BROKEN for outcome in found.values())
    path = os.path.join(ROOT, "docs/clients.md")
    if options.write:
        table.write(path, rows(), found)
    if options.check:
        differences = list(table.differences(path, rows(), found))
        print("".join(f"different: {line}\n" for line in differences), end="")
        failed = failed or differences or (options.all and absent)
    counts = {outcome: list(found.values()).count(outcome) for outcome in sorted(set(found.values()))}
    print(", ".join(f"{count} {outcome}" for outcome, count in {**counts, "not run": len(absent)}.items()))
    return int(bool(failed))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table in docs/clients.md")
    parser.add_argument("--check", action="store_true", help="fail if the table in docs/clients.md differs")
    parser.add_argument("--all", action="store_true", help="with --check, fail if a client is not installed")
    parser.add_argument("--only", default="", metavar="REGEX", help="run only these rows, such as '^Python: aio'")
    parser.add_argument("--verbose", action="store_true", help="print what differs from the run alone")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="clients to run at a time")
    parser.add_argument("--tools", default=os.path.join(TARGET, "clients"), help="folder that 'install' filled")
    parser.add_argument("--spectral", default=os.path.join(TARGET, "debug/spectral"), help="the program to test")
    return parser.parse_args()


if __name__ == "__main__":
    main()
